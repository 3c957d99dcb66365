from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('recommender', '0002_activations_and_requests'),
    ]

    operations = [
        migrations.AddField(
            model_name='modelmetadata',
            name='sha256_utilisateurs',
            field=models.CharField(blank=True, editable=False, max_length=64),
        ),
    ]
