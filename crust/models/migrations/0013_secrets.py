from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("crust", "0012_bridges")]

    initial = False

    operations = [
        ops.CreateModel(
            name="Secret",
            fields=[
                ("name", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64)),
                ("value", fields.CharField(max_length=255)),
            ],
            options={"table": "secret", "app": "crust", "pk_attr": "name"},
            bases=["Model"],
        ),
    ]
