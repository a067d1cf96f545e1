use std::iter;

use firth_kafka_codec::{ByteStr, ErrorCode, ListGroupsRequest, ListGroupsResponse, ListedGroup};

use super::{Answer, Durable};
use crate::server::Client;

/// The type of all groups that there are.
const CLASSIC: &str = "classic";

/// Filters are compared without regard to case. Nothing passes one that names what does not exist.
pub(super) async fn handle(client: Client, request: ListGroupsRequest) -> Durable<ListGroupsResponse> {
    let passes = |filter: &[ByteStr], name: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
    };
    let (groups, commits) = client.server.groups.look_at_all(|group| {
        let state = group.state().name();
        let is_wanted = passes(&request.states_filter, state) && passes(&request.types_filter, CLASSIC);
        is_wanted.then(|| ListedGroup {
            group_id: ByteStr::from(&**group.id()),
            protocol_type: group
                .protocol_type()
                .map(|name| ByteStr::from(&**name))
                .unwrap_or_default(),
            group_state: ByteStr::from_static(state),
            group_type: ByteStr::from_static(CLASSIC),
        })
    });
    let response = ListGroupsResponse {
        groups,
        ..Default::default()
    };
    (response, commits.into())
}

impl Answer for ListGroupsResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        iter::once(self.error_code)
    }
}
