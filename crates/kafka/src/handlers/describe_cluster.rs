use std::iter;

use firth_kafka_codec::{
    AUTHORIZED_OPERATIONS_UNKNOWN, ByteStr, DescribeClusterBroker, DescribeClusterRequest,
    DescribeClusterResponse, ENDPOINT_BROKERS, ENDPOINT_CONTROLLERS, ErrorCode,
};

use super::metadata::{CLUSTER_OPERATIONS, own_address};
use super::{Answer, Refused, refused};
use crate::server::Client;

pub(super) async fn handle(client: Client, request: DescribeClusterRequest) -> DescribeClusterResponse {
    if let Err((error_code, error_message)) = check(request.endpoint_type) {
        return DescribeClusterResponse {
            error_code,
            error_message,
            ..Default::default()
        };
    }
    let own = own_address(&client);
    let broker = DescribeClusterBroker {
        broker_id: own.node_id,
        host: own.host,
        port: own.port,
        ..Default::default()
    };
    DescribeClusterResponse {
        cluster_id: ByteStr::from(client.server.broker.cluster_id().to_string()),
        controller_id: own.node_id,
        brokers: vec![broker],
        cluster_authorized_operations: match request.include_cluster_authorized_operations {
            true => CLUSTER_OPERATIONS,
            false => AUTHORIZED_OPERATIONS_UNKNOWN,
        },
        ..Default::default()
    }
}

fn check(endpoint_type: i8) -> Result<(), Refused> {
    match endpoint_type {
        ENDPOINT_BROKERS => Ok(()),
        ENDPOINT_CONTROLLERS => {
            let reason = "this is a broker, and controllers are asked for";
            Err(refused(ErrorCode::MismatchedEndpointType, &reason))
        }
        other => {
            let reason = format!("there is no endpoint of type {other}");
            Err(refused(ErrorCode::UnsupportedEndpointType, &reason))
        }
    }
}

impl Answer for DescribeClusterResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        iter::once(self.error_code)
    }
}
