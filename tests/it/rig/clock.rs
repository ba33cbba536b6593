//! A wall clock that can be set while a process runs. A small library, compiled here and loaded into the process, answers for the C
//! library; the monotonic clocks stay as they are, as on a machine whose clock is set.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chrono::TimeDelta;

/// Where the offset is, by the library's own name for it.
const VARIABLE: &str = "CLOCK_OFFSET";

const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *offset;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CLOCK_OFFSET");
    int file = path ? open(path, O_RDONLY) : -1;
    void *seconds = file < 0 ? MAP_FAILED : mmap(0, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    if (seconds != MAP_FAILED) offset = seconds;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    long result = syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && offset && clock == CLOCK_REALTIME) time->tv_sec += *offset;
    return (int)result;
}
"#;

/// The wall clock of the processes that follow it.
pub struct Clock {
    library: PathBuf,
    offset: PathBuf,
}

impl Clock {
    /// The true one, in a folder of the test's own. `None`: no C compiler is installed, which one loud line said.
    pub fn new(folder: &Path) -> Option<Self> {
        let (source, library, offset) = (folder.join("clock.c"), folder.join("clock.so"), folder.join("clock.offset"));
        std::fs::write(&source, LIBRARY).expect("the test's own folder");
        std::fs::write(&offset, 0_i64.to_ne_bytes()).expect("the test's own folder");
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).stdin(Stdio::null());
        match compile.status() {
            Ok(status) => assert!(status.success(), "{compile:?}"),
            Err(why) => {
                super::leave_out("a wall clock that is set", &why.to_string());
                return None;
            }
        }
        Some(Self { library, offset })
    }

    /// The same command, whose process follows this clock.
    pub fn rule(&self, mut command: Command) -> Command {
        command.env("LD_PRELOAD", &self.library).env(VARIABLE, &self.offset);
        command
    }

    /// Sets it to be so much ahead of the true one.
    pub fn set(&self, ahead: TimeDelta) {
        let file: File = OpenOptions::new().write(true).open(&self.offset).expect("the test's own file");
        file.write_all_at(&ahead.num_seconds().to_ne_bytes(), 0).expect("the test's own file");
    }
}
