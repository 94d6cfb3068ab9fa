from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("crust", "0010_delivery")]

    initial = False

    operations = [
        ops.AddField(
            model_name="Message",
            name="preview",
            field=fields.TextField(null=True, unique=False),
        ),
    ]
