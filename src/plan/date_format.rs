//! Java date patterns with their zone, read and written as Java does.

/// A date pattern together with the zone of dates that carry none.
#[derive(Clone, Debug, PartialEq)]
pub struct DateFormat {
    pattern: String,
}
