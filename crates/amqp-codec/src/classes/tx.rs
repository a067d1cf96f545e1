//! Section 1.9.

use crate::class::class;

class! {
    tx Tx = 90;

    Select = 10 "select" {}

    SelectOk = 11 "select-ok" {}

    Commit = 20 "commit" {}

    CommitOk = 21 "commit-ok" {}

    Rollback = 30 "rollback" {}

    RollbackOk = 31 "rollback-ok" {}
}
