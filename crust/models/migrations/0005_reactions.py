from tortoise import migrations
from tortoise.migrations import operations as ops
from crust.models.fields import IdField, TimeField
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("crust", "0004_search")]

    initial = False

    operations = [
        ops.CreateModel(
            name="Reaction",
            fields=[
                ("id", IdField(primary_key=True, unique=True, db_index=True)),
                ("message_id", fields.BigIntField()),
                ("emoji", fields.CharField(max_length=64)),
                ("user_id", fields.BigIntField()),
                ("at", TimeField()),
            ],
            options={"table": "reaction", "app": "crust", "unique_together": [("message_id", "emoji", "user_id")], "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.AddField(
            model_name="Message",
            name="reactions",
            field=fields.IntField(db_default=0),
        ),
    ]
