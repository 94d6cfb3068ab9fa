from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("crust", "0008_broker")]

    initial = False

    operations = [
        ops.AddField(
            model_name="Message",
            name="channels",
            field=fields.TextField(db_default="[]", unique=False),
        ),
    ]
