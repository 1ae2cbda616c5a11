"""The audit service: its HTTP application, its subscriptions and its schedules."""

from quartet_audit import ownership_store
from quartet_audit.applications.application_event_usecases import pruning
from quartet_audit.checkpoints import checkpoint_usecases
from quartet_audit.checkpoints.checkpoint_usecases import CheckpointSigner
from quartet_audit.config import AuditConfig
from quartet_audit.continuity import receipt_usecases
from quartet_audit.continuity.continuity_usecases import logging_checks
from quartet_audit.entries.entry_usecases import take_new
from quartet_audit.entries.text_index_usecases import indexing
from quartet_audit.erasure import ERASURE
from quartet_audit.erasures.erasure_usecases import erasing_persons
from quartet_audit.retention.retention_usecases import pruning_logs
from quartet_audit.streams.stream_delivery import INTERVAL as STREAM_INTERVAL
from quartet_audit.streams.stream_delivery import StreamDelivery
from quartet_audit.subscriptions import subscriptions
from quartet_audit.witnesses import checkpoint_webhook, witness_usecases
from quartet_audit.witnesses.checkpoint_webhook import CheckpointWebhook
from quartet_audit.witnesses.witness_usecases import Witnesses
from quartet_common.core.schedule import Schedule
from quartet_common.runtime import tenant_deletion
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.process import Service, create_app_of


def schedules(container: AppContainer[AuditConfig]) -> list[Schedule]:
    """What the worker does again and again."""
    signer = CheckpointSigner(container)
    witnesses = Witnesses(container, signer)
    return [
        tenant_deletion.erasing(container, ERASURE),
        erasing_persons(container),
        pruning(container),
        receipt_usecases.answering(container),
        indexing(container),
        pruning_logs(container),
        Schedule("checkpoints", checkpoint_usecases.INTERVAL, signer.run, signer.check),
        Schedule("checkpoint-webhook", checkpoint_webhook.INTERVAL, CheckpointWebhook(container).run),
        Schedule("streams", STREAM_INTERVAL, StreamDelivery(container).run),
        Schedule("witnesses", witness_usecases.INTERVAL, witnesses.run, witnesses.check),
    ]


SERVICE = Service(
    package="quartet_audit",
    config_class=AuditConfig,
    create_app=create_app_of("quartet_audit.api"),
    subscriptions=subscriptions,
    schedules=schedules,
    logging_checks=logging_checks,
    take_new=take_new,
    after_migrations=ownership_store.grant,
)
