use firth_kafka_codec::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse, ErrorCode};

use super::{Answer, Commits, Durable, once};
use crate::server::Client;

/// A group with members stays. What is named twice is deleted once.
pub(super) async fn handle(client: Client, request: DeleteGroupsRequest) -> Durable<DeleteGroupsResponse> {
    let mut commits = Commits::new();
    let named = once(request.groups_names, Clone::clone).into_iter();
    let results = named.map(|(group_id, _)| {
        let deleted = client
            .server
            .groups
            .with(&group_id, |group, turn| group.delete(turn));
        let error_code = match deleted {
            Some((deleted, commit)) => {
                commits.push(commit);
                deleted.err().unwrap_or(ErrorCode::None)
            }
            None => ErrorCode::GroupIdNotFound,
        };
        DeletableGroupResult { group_id, error_code }
    });
    let response = DeleteGroupsResponse {
        results: results.collect(),
        ..Default::default()
    };
    (response, commits)
}

impl Answer for DeleteGroupsResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        self.results.iter().map(|result| result.error_code)
    }
}
