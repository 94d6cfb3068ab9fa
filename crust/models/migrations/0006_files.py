from tortoise import migrations
from tortoise.migrations import operations as ops
from crust.models.fields import IdField, TimeField
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("crust", "0005_reactions")]

    initial = False

    operations = [
        ops.CreateModel(
            name="File",
            fields=[
                ("id", IdField(primary_key=True, unique=True, db_index=True)),
                ("message_id", fields.BigIntField(null=True, db_index=True)),
                ("user_id", fields.BigIntField()),
                ("name", fields.CharField(max_length=255)),
                ("size", fields.BigIntField()),
                ("media_type", fields.CharField(max_length=100)),
                ("sha256", fields.CharField(max_length=64)),
                ("key", fields.CharField(unique=True, max_length=64)),
                ("width", fields.IntField(null=True)),
                ("height", fields.IntField(null=True)),
                ("created_at", TimeField()),
            ],
            options={"table": "file", "app": "crust", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.AddField(
            model_name="Message",
            name="attachments",
            field=fields.TextField(db_default="[]", unique=False),
        ),
    ]
