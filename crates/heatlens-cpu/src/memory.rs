//! Available memory.
//!
//! Allocating more memory than there is aborts the process, so the memory a program needs is compared with the
//! available memory first. Linux reports it for the machine and for the control groups of the process (containers are
//! such groups). On other systems only [`FALLBACK`] limits a program.

use std::path::{Path, PathBuf};

/// Memory assumed to be available if the system does not report it, and maximum for one sample on any system: 32 GiB.
pub(crate) const FALLBACK: u64 = 1 << 35;

/// Returns the bytes of memory that can be allocated without swapping, if the system reports it (Linux does).
#[must_use]
pub fn available_memory() -> Option<u64> {
    let machine =
        std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| entry(&text, "MemAvailable:"));
    let bytes = machine.map(|kib| kib.saturating_mul(1024));
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| of_groups(&text));
    bytes.into_iter().chain(groups).min()
}

/// Allocations up to this size are not checked: a check takes some microseconds.
const UNASKED: u128 = 1 << 28;

/// Checks that `bytes` can be allocated.
///
/// # Errors
/// The number of available bytes, if it is smaller.
pub(crate) fn fits(bytes: u128) -> Result<(), u128> {
    if bytes <= UNASKED {
        return Ok(());
    }
    let available = u128::from(available_memory().unwrap_or(FALLBACK).min(FALLBACK));
    if bytes <= available { Ok(()) } else { Err(available) }
}

/// Formats a number of bytes for users.
pub(crate) fn readable(bytes: &u128) -> String {
    let tenths = |unit: u32| bytes.saturating_mul(10) >> unit;
    let (unit, name) = if bytes >> 30 > 0 { (30, "GiB") } else { (20, "MiB") };
    format!("{}.{} {name}", tenths(unit) / 10, tenths(unit) % 10)
}

/// Returns the number after `name` at the start of a line.
fn entry(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Returns the memory left in the tightest control group of the process, given `/proc/self/cgroup`.
fn of_groups(list: &str) -> Option<u64> {
    let groups = list.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
        match controllers {
            "" => Some((Path::new("/sys/fs/cgroup"), path, VERSION_2)),
            _ if controllers.split(',').any(|c| c == "memory") => {
                Some((Path::new("/sys/fs/cgroup/memory"), path, VERSION_1))
            }
            _ => None,
        }
    });
    groups
        .flat_map(|(root, path, files)| folders(root, path).into_iter().filter_map(move |f| left(&f, files)))
        .min()
}

/// Names of a group's limit file, usage file, and statistics entry for the reclaimable part.
type Files = [&'static str; 3];
const VERSION_2: Files = ["memory.max", "memory.current", "inactive_file "];
const VERSION_1: Files = ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "];

/// Returns the folder of a group and those of its parents, each of which may have a limit. Inside a container the path
/// may not exist, but the root is that of the container.
fn folders(root: &Path, path: &str) -> Vec<PathBuf> {
    root.join(path).ancestors().take_while(|folder| folder.starts_with(root)).map(Path::to_owned).collect()
}

/// Returns the memory left in a group; `None` if it has no limit.
fn left(folder: &Path, [limit, used, cached]: Files) -> Option<u64> {
    let number = |name: &str| std::fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    let (limit, used) = (number(limit)?, number(used)?);
    let statistics = std::fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    Some(limit.saturating_sub(used.saturating_sub(entry(&statistics, cached).unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_by_their_name() {
        let text = "MemTotal:       24689456 kB\nMemFree:         1 kB\nMemAvailable:   20000000 kB\n";
        assert_eq!(entry(text, "MemAvailable:"), Some(20_000_000));
        assert_eq!(entry(text, "SwapFree:"), None);
    }

    #[test]
    fn a_group_leaves_its_limit_less_what_it_uses() {
        let folder = std::env::temp_dir().join(format!("heatlens-group-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        write("memory.max", "1000\n");
        write("memory.current", "700\n");
        assert_eq!(left(&folder, VERSION_2), Some(300));
        write("memory.stat", "anon 500\ninactive_file 150\n");
        assert_eq!(left(&folder, VERSION_2), Some(450), "files that are only cached make room");
        write("memory.max", "max\n");
        assert_eq!(left(&folder, VERSION_2), None);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn every_group_up_to_the_root_is_asked() {
        let root = Path::new("/sys/fs/cgroup");
        assert_eq!(folders(root, "a/b"), [root.join("a/b"), root.join("a"), root.to_owned()]);
        assert_eq!(folders(root, ""), [root.to_owned()]);
    }

    #[test]
    fn what_no_machine_has_does_not_fit() {
        assert_eq!(fits(1 << 20), Ok(()));
        assert!(fits(1 << 50).is_err_and(|available| available <= FALLBACK.into()));
        assert_eq!(
            (readable(&(3 << 29)), readable(&(5 << 20))),
            ("1.5 GiB".to_owned(), "5.0 MiB".to_owned())
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_says_how_much_there_is() {
        assert!(available_memory().is_some_and(|bytes| bytes > 1 << 20));
    }
}
