"""Which replica answers a request. Needs Ray Serve to be imported."""

from __future__ import annotations

from ray.serve.experimental.consistent_hash_router import ConsistentHashRouter
from ray.serve.request_router import PendingRequest, RunningReplica


class StayingRouter(ConsistentHashRouter):
    """The replica that the request's key names (`lungapp.replicas.door`), as long as there is one of that name.

    Other keys go to a replica by consistent hashing, and requests without a key to any. Unlike hashing alone, this
    takes no visitor away from their replica when others are added.
    """

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        if pending_request:
            for replica in candidate_replicas:
                if replica.replica_id.unique_id == pending_request.metadata.session_id:
                    pending_request.routing_context.should_backoff = True  # one that is full is asked again, later
                    return [[replica]]
        return await super().choose_replicas(candidate_replicas, pending_request)
