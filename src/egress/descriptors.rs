//! Whether a failure is for want of file descriptors, which the kinds of errors have no name for.

use std::io;

/// Numbers of the errors of a process, and of a machine, that has too many files open (`EMFILE`, `ENFILE`).
const TOO_MANY: [i32; 2] = [24, 23];

/// No file or socket can be opened until another one is closed.
pub fn are_used_up(error: &io::Error) -> bool {
    cfg!(unix) && error.raw_os_error().is_some_and(|number| TOO_MANY.contains(&number))
}

/// What is wrong with a file and what to do, as the end of a sentence; `fix`: what to do otherwise.
pub fn cause_and_fix(error: &io::Error, fix: &str) -> String {
    if are_used_up(error) {
        "no file descriptor is free; raise the limit of open files of this process (ulimit -n)".to_owned()
    } else {
        format!("{}; {fix}", error.kind())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn too_many_open_files_are_named_with_the_fix() {
        let fix = "make room or make the folder writable";
        for (number, told) in [
            (24, "no file descriptor is free; raise the limit of open files of this process (ulimit -n)"),
            (23, "no file descriptor is free; raise the limit of open files of this process (ulimit -n)"),
            (28, "no storage space; make room or make the folder writable"),
        ] {
            assert_eq!(cause_and_fix(&io::Error::from_raw_os_error(number), fix), told);
        }
    }
}
