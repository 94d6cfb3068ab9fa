from tortoise import migrations
from tortoise.migrations import operations as ops
from crust.models.fields import TimeField
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("crust", "0007_accounts")]

    initial = False

    operations = [
        ops.CreateModel(
            name="Consumer",
            fields=[
                ("name", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=255)),
                ("position", fields.BigIntField()),
                ("at", TimeField()),
            ],
            options={"table": "consumer", "app": "crust", "pk_attr": "name"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Lease",
            fields=[
                ("name", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=255)),
                ("owner", fields.CharField(max_length=64)),
                ("generation", fields.BigIntField()),
                ("until", TimeField()),
                ("since", TimeField()),
            ],
            options={"table": "lease", "app": "crust", "pk_attr": "name"},
            bases=["Model"],
        ),
    ]
