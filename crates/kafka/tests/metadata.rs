//! What Metadata says of the cluster itself.
#![allow(clippy::unwrap_used, reason = "this is a test")]

mod support;

use firth_kafka_codec::*;
use support::TestBroker;

#[tokio::test]
async fn a_cluster_has_an_id_of_its_own() {
    let broker = TestBroker::memory().await;
    let mut client = broker.connect().await;
    let response = client.call(12, &MetadataRequest::default()).await;
    let id = broker.broker.cluster_id().to_string();
    assert_eq!(response.cluster_id, Some(ByteStr::from(id.as_str())));
    assert_eq!(id.len(), 22);
    broker.stop().await;
}
