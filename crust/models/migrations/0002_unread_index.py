from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.indexes import Index


class Migration(migrations.Migration):
    dependencies = [("crust", "0001_initial")]

    initial = False

    operations = [
        ops.RemoveIndex(
            model_name="Message",
            name=None,
            fields=["channel_id", "id"],
        ),
        ops.AddIndex(
            model_name="Message",
            index=Index(fields=["channel_id", "id", "user_id", "removed_at"]),
        ),
    ]
