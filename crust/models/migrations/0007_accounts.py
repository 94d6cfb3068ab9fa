from tortoise import migrations
from tortoise.migrations import operations as ops
from crust.models.fields import IdField, TimeField
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    dependencies = [("crust", "0006_files")]

    initial = False

    operations = [
        ops.CreateModel(
            name="Audited",
            fields=[
                ("id", IdField(primary_key=True, unique=True, db_index=True)),
                ("user_id", fields.BigIntField()),
                ("username", fields.CharField(max_length=64)),
                ("client_id", fields.CharField(max_length=64)),
                ("address", fields.CharField(max_length=64)),
                ("act", fields.CharField(max_length=64)),
                ("organisation_id", fields.BigIntField()),
                ("object", fields.BigIntField()),
                ("details", fields.TextField(unique=False)),
                ("at", TimeField()),
            ],
            options={"table": "audit", "app": "crust", "indexes": [Index(fields=["organisation_id", "id"])], "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Invitation",
            fields=[
                ("id", IdField(primary_key=True, unique=True, db_index=True)),
                ("token_hash", fields.CharField(unique=True, max_length=64)),
                ("organisation_id", fields.BigIntField(db_index=True)),
                ("role", fields.CharField(max_length=8)),
                ("email", fields.CharField(null=True, max_length=254)),
                ("uses_left", fields.IntField()),
                ("invited_by", fields.BigIntField()),
                ("created_at", TimeField()),
                ("ends_at", TimeField()),
            ],
            options={"table": "invitation", "app": "crust", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.AddField(
            model_name="Session",
            name="kind",
            field=fields.CharField(db_default="session", max_length=8),
        ),
        ops.AddField(
            model_name="Session",
            name="name",
            field=fields.CharField(db_default="", max_length=100),
        ),
    ]
