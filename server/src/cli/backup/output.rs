//! Where a backup goes: a file that only its maker may read, or what is no file, such as a pipe or a device.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::unistd::linkat;

use super::error::{BackupError, failed};

/// Writes the backup. Under the name of a file there is the whole new one, or the one from before.
///
/// # Errors
/// What the system says, or [`BackupError::Terminal`].
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), BackupError> {
    match fs::metadata(path) {
        Ok(there) if there.is_file() => {
            // What is replaced is the file, and no link to it.
            let real = fs::canonicalize(path).map_err(failed(path))?;
            replace(&real, content).map_err(failed(path))
        }
        Ok(_) => write_into(path, content),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if fs::symlink_metadata(path).is_ok() {
                let nowhere = io::Error::new(io::ErrorKind::NotFound, "it is a link to nowhere");
                return Err(failed(path)(nowhere));
            }
            replace(path, content).map_err(failed(path))
        }
        Err(error) => Err(failed(path)(error)),
    }
}

/// Nothing can be put in the place of a device or a pipe.
fn write_into(path: &Path, content: &[u8]) -> Result<(), BackupError> {
    let mut there = OpenOptions::new().write(true).open(path).map_err(failed(path))?;
    if there.is_terminal() {
        return Err(BackupError::Terminal);
    }
    there.write_all(content).map_err(failed(path))
}

/// The file stays the maker's, whoever owns the folder: the hub's user has no need of it.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    // A name that nothing else has: whatever is there stays.
    let new = folder.join(format!(".dosp-backup-{:016x}", rand::random::<u64>()));
    // Not every file system has files without a name, as NFS; any other trouble is there again.
    let written = write_unnamed(folder, content)
        .and_then(|file| give_name(&file, &new))
        .or_else(|_| write_named(&new, content));
    let put = written.and_then(|()| fs::rename(&new, path));
    if put.is_err() {
        // The half of a file is of no use.
        fs::remove_file(&new).ok();
    }
    put.and_then(|()| File::open(folder)?.sync_all())
}

/// A file without a name in this folder: a crash leaves nothing of it behind.
fn write_unnamed(folder: &Path, content: &[u8]) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(OFlag::O_TMPFILE.bits()).mode(0o600);
    fill(options.open(folder)?, content)
}

fn give_name(file: &File, new: &Path) -> io::Result<()> {
    // As open(2) says: by this name everybody may who has it open.
    let opened = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(linkat(AT_FDCWD, opened.as_str(), AT_FDCWD, new, AtFlags::AT_SYMLINK_FOLLOW)?)
}

fn write_named(new: &Path, content: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
    fill(file, content).map(drop)
}

fn fill(mut file: File, content: &[u8]) -> io::Result<File> {
    file.write_all(content)?;
    file.sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn file_is_replaced_where_links_lead_and_what_is_beside_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "old").unwrap();
        fs::set_permissions(path("file"), fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(path("file.new"), "the user's").unwrap();
        symlink("file", path("link")).unwrap();
        write(&path("link"), b"new").unwrap();
        assert!(fs::symlink_metadata(path("link")).unwrap().is_symlink());
        assert_eq!(fs::read(path("file")).unwrap(), b"new");
        assert_eq!(fs::metadata(path("file")).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read(path("file.new")).unwrap(), b"the user's");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);

        symlink("nothing", path("dangling")).unwrap();
        assert!(write(&path("dangling"), b"new").is_err());
        assert!(write(folder.path(), b"new").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
    }

    #[test]
    fn backup_stays_its_makers_in_the_folder_of_another() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        nix::unistd::chown(folder.path(), Some(12_345.into()), Some(12_345.into())).unwrap();
        let path = folder.path().join("file");
        write(&path, b"new").unwrap();
        let made = fs::metadata(&path).unwrap();
        assert_eq!((made.uid(), made.mode() & 0o7777), (0, 0o600));
    }

    #[test]
    fn file_has_its_name_when_it_is_whole_where_the_file_system_can_do_that() {
        let folder = tempfile::tempdir().unwrap();
        let [unnamed, named] = ["unnamed", "named"].map(|name| folder.path().join(name));
        let file = write_unnamed(folder.path(), b"new").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a crash leaves nothing");
        give_name(&file, &unnamed).unwrap();
        write_named(&named, b"new").unwrap();
        for path in [&unnamed, &named] {
            assert_eq!(fs::read(path).unwrap(), b"new");
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o7777, 0o600);
        }
        assert!(give_name(&file, &named).is_err(), "whatever is there stays");
    }

    #[test]
    fn pipe_is_written_into_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let reader = std::thread::spawn({
            let path = path.clone();
            move || {
                let mut content = Vec::new();
                File::open(path).unwrap().read_to_end(&mut content).unwrap();
                content
            }
        });
        write(&path, b"new").unwrap();
        assert_eq!(reader.join().unwrap(), b"new");
        assert!(fs::metadata(&path).unwrap().file_type().is_fifo());
    }
}
