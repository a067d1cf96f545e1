//! Records as people and programs see them: what they are printed as, what they are read from, and how they come from the broker.

pub(crate) mod base64;
pub(crate) mod escape;
pub(crate) mod format;
pub(crate) mod json;
pub(crate) mod layout;
pub(crate) mod reading;
pub(crate) mod start;

use firth_batch::Record;

/// A record and where it is.
#[derive(Clone, Copy)]
pub(crate) struct Placed<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) record: &'a Record<'a>,
}

/// How each record is printed. What it adds to `out` is whole: nothing stands between two records but what it says.
pub(crate) enum Shape {
    Format(format::Format),
    Json,
    Layout(layout::Layout),
}

impl Shape {
    pub(crate) fn print(&self, placed: Placed<'_>, out: &mut Vec<u8>) {
        match self {
            Shape::Format(format) => format.print(placed, out),
            Shape::Json => {
                out.extend_from_slice(json::write(placed).to_string().as_bytes());
                out.push(b'\n');
            }
            Shape::Layout(layout) => layout.print(placed, out),
        }
    }
}
