//! Finds out whether a path is on a network file system, where SQLite's locks and shared memory do not work.

use std::path::{Path, PathBuf};

/// File systems that reach another machine. Their byte-range locks are unreliable, and memory shared between
/// machines (the WAL index) does not exist at all.
const NETWORK: [&str; 16] = [
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "coda",
    "fuse.glusterfs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.sshfs",
    "gfs2",
    "lustre",
    "ncpfs",
    "ocfs2",
    "smb3",
    "smbfs",
];

/// The type of the network file system that holds `path`, or `None` where it is local or cannot be known
/// (there is no `/proc/mounts` outside Linux). `path` must be absolute and without symbolic links.
pub(crate) fn network_file_system(path: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/mounts").ok()?;
    let kind = file_system_type(&mounts, path)?;
    is_network(kind).then(|| kind.to_owned())
}

fn is_network(kind: &str) -> bool {
    kind.starts_with("nfs") || NETWORK.contains(&kind)
}

/// The type of the mount with the longest prefix of `path`; of several on one point the last covers the others.
fn file_system_type<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    mounts
        .lines()
        .filter_map(parse_line)
        .filter(|(point, _)| path.starts_with(point))
        .max_by_key(|(point, _)| point.components().count())
        .map(|(_, kind)| kind)
}

/// `device point type options dump pass`
fn parse_line(line: &str) -> Option<(PathBuf, &str)> {
    let mut fields = line.split(' ');
    let point = fields.nth(1)?;
    Some((PathBuf::from(unescape(point)), fields.next()?))
}

/// The kernel writes space, tab, newline and backslash as three octal digits after a backslash.
fn unescape(field: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(field.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
overlay / overlay rw,relatime 0 0
server:/home /home nfs4 rw 0 0
tmpfs /home/joe/local tmpfs rw 0 0
//nas/share /mnt/the\\040share cifs rw 0 0
host /srv 9p rw 0 0
/dev/sda1 /srv ext4 rw 0 0
me@host: /mnt/remote fuse.sshfs rw 0 0
not a mount
";

    #[test]
    fn the_longest_mount_decides() {
        for (path, kind) in [
            ("/var/lib", "overlay"),
            ("/home", "nfs4"),
            ("/home/joe/data", "nfs4"),
            ("/home/joe/local/data", "tmpfs"),
            ("/homestead", "overlay"),
            ("/mnt/the share/x", "cifs"),
            ("/srv/x", "ext4"),
            ("/mnt/remote", "fuse.sshfs"),
        ] {
            assert_eq!(file_system_type(MOUNTS, Path::new(path)), Some(kind), "{path}");
        }
    }

    #[test]
    fn nothing_is_known_without_mounts() {
        assert_eq!(file_system_type("", Path::new("/")), None);
    }

    #[test]
    fn network_types_are_told_from_local_ones() {
        for kind in ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "lustre"] {
            assert!(is_network(kind), "{kind}");
        }
        for kind in ["ext4", "xfs", "btrfs", "overlay", "tmpfs", "fuse.fuseblk", "virtiofs", "apfs"] {
            assert!(!is_network(kind), "{kind}");
        }
    }
}
