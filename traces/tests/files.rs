//! Every trace of the project can be read, and each of its scenarios says what a server answers.

use std::fs;
use std::path::Path;

use traces::Script;

#[test]
fn all_traces_are_scripts() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/traces/amqp");
    let mut scenarios = 0;
    for entry in fs::read_dir(directory).expect("the traces of the project") {
        let path = entry.expect("a file").path();
        let text = fs::read_to_string(&path).expect("text");
        let script = Script::parse(&path.display().to_string(), &text).expect("a script");
        scenarios += script.titles().len();
        let mut titles = script.titles();
        titles.sort_unstable();
        titles.dedup();
        assert_eq!(
            titles.len(),
            script.titles().len(),
            "{}: two scenarios of one title",
            path.display()
        );
        assert_eq!(script.without_answers(), Vec::<&str>::new(), "{}", path.display());
    }
    assert!(scenarios > 0);
}
