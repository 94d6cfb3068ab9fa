from tortoise import migrations
from tortoise.migrations import operations as ops
from crust.models.fields import IdField, TimeField
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("crust", "0002_unread_index")]

    initial = False

    operations = [
        ops.CreateModel(
            name="Team",
            fields=[
                ("id", IdField(primary_key=True, unique=True, db_index=True)),
                ("organisation_id", fields.BigIntField(db_index=True)),
                ("name", fields.CharField(max_length=100)),
                ("name_key", fields.CharField(max_length=200)),
                ("created_at", TimeField()),
                ("updated_at", TimeField()),
                ("archived_at", TimeField(null=True)),
                ("removed_at", TimeField(null=True)),
            ],
            options={"table": "team", "app": "crust", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="TeamChannel",
            fields=[
                ("id", IdField(primary_key=True, unique=True, db_index=True)),
                ("channel_id", fields.BigIntField()),
                ("team_id", fields.BigIntField(db_index=True)),
            ],
            options={"table": "team_channel", "app": "crust", "unique_together": [("channel_id", "team_id")], "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="TeamMember",
            fields=[
                ("id", IdField(primary_key=True, unique=True, db_index=True)),
                ("team_id", fields.BigIntField()),
                ("user_id", fields.BigIntField(db_index=True)),
            ],
            options={"table": "team_member", "app": "crust", "unique_together": [("team_id", "user_id")], "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.AddField(
            model_name="Channel",
            name="merged_into",
            field=fields.BigIntField(null=True),
        ),
        ops.AddField(
            model_name="Channel",
            name="team_ids",
            field=fields.TextField(db_default="", unique=False),
        ),
        ops.AddField(
            model_name="ChannelMember",
            name="muted",
            field=fields.BooleanField(db_default=False),
        ),
    ]
