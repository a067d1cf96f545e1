use std::iter;

use firth_kafka_codec::{ErrorCode, InitProducerIdRequest, InitProducerIdResponse};

use super::Answer;
use crate::server::Client;

const NONE: i64 = -1;

/// A new producer id for an idempotent producer, always with epoch 0: such a producer that wants another epoch takes
/// another id.
///
/// There are no transactions yet. Of the codes that Java's client and librdkafka both take as final for a
/// transactional id, `TRANSACTIONAL_ID_AUTHORIZATION_FAILED` alone does not claim something untrue about its epoch or its
/// timeout; most others they retry for ever.
pub(super) async fn handle(client: Client, request: InitProducerIdRequest) -> InitProducerIdResponse {
    let failed = |error_code| InitProducerIdResponse {
        error_code,
        producer_epoch: -1,
        ..Default::default()
    };
    match &request.transactional_id {
        Some(id) if id.is_empty() => return failed(ErrorCode::InvalidRequest),
        Some(_) => return failed(ErrorCode::TransactionalIdAuthorizationFailed),
        None => {}
    }
    if (request.producer_id == NONE) != (i64::from(request.producer_epoch) == NONE) {
        return failed(ErrorCode::InvalidRequest);
    }
    match client.server.broker.allocate_producer_id().await {
        Ok(producer_id) => InitProducerIdResponse {
            producer_id,
            producer_epoch: 0,
            ..Default::default()
        },
        Err(error) => {
            tracing::warn!(%error, "no producer id could be given out");
            // Whatever it is, it passes, and this is what clients of all ages retry without looking for a coordinator.
            failed(ErrorCode::CoordinatorLoadInProgress)
        }
    }
}

impl Answer for InitProducerIdResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        iter::once(self.error_code)
    }
}
