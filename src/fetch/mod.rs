//! Plan + cursor → requests → pages → records.

pub mod json;
pub mod page;
mod scan;
pub mod split;

pub use page::{Page, RecordSpan};
pub use scan::{Fault, MAX_DEPTH, ScanError};
pub use split::{Kind, SplitError, split};
