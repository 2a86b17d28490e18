//! Directory trees for another account: who may reach them, and copies of them.

use nix::unistd::{Uid, User, geteuid};
use std::{
    fs::{self, File},
    io,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, lchown, symlink},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

/// `nobody` where the system has no account of that name.
const NOBODY: u32 = 65_534;

/// An account that a server runs under instead of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// `None` for an ordinary user. For root: the owner of `existing` unless that is root too, else `nobody`.
    pub(crate) fn unprivileged(existing: &Path) -> Option<Self> {
        if !geteuid().is_root() {
            return None;
        }
        let owner = fs::metadata(existing).ok().filter(|owned| owned.uid() != 0);
        Some(owner.map_or_else(Self::nobody, |owned| Self { uid: owned.uid(), gid: owned.gid() }))
    }

    fn nobody() -> Self {
        let known = User::from_name("nobody").ok().flatten();
        known.map_or(Self { uid: NOBODY, gid: NOBODY }, |user| Self { uid: user.uid.as_raw(), gid: user.gid.as_raw() })
    }

    /// Makes `command` run as this account, without our other groups.
    pub(crate) fn apply(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Returns `true` if this account can reach `path`: it may enter every directory above it, and the path itself.
    pub(crate) fn reaches(self, path: &Path) -> bool {
        let Ok(path) = path.canonicalize() else { return false };
        path.ancestors().all(|at| {
            fs::metadata(at).is_ok_and(|found| {
                let bit = if found.uid() == self.uid {
                    0o100
                } else if found.gid() == self.gid {
                    0o010
                } else {
                    0o001
                };
                found.mode() & bit != 0
            })
        })
    }

    /// Gives `path` to this account.
    pub(crate) fn own(self, path: &Path) -> io::Result<()> {
        lchown(path, Some(self.uid), Some(self.gid))
    }
}

/// Returns `true` if `path` belongs to the account of this process.
pub(crate) fn is_ours(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| Uid::from_raw(found.uid()) == geteuid())
}

/// Makes a directory that only its owner enters.
pub(crate) fn make_private(dir: &Path, owner: Option<Account>) -> io::Result<()> {
    fs::create_dir(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    owner.map_or(Ok(()), |owner| owner.own(dir))
}

/// Copies what is in `from` into the existing directory `to`: modes and links as they are, owned by `owner` or us.
/// After an error `to` holds a part of it.
pub(crate) fn copy(from: &Path, to: &Path, owner: Option<Account>) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else if kind.is_dir() {
            fs::create_dir(&target)?;
            copy(&source, &target, owner)?;
            fs::set_permissions(&target, entry.metadata()?.permissions())?;
        } else {
            fs::copy(&source, &target)?;
        }
        if let Some(owner) = owner {
            owner.own(&target)?;
        }
    }
    Ok(())
}

/// Everything below `dir` is on the disk when this returns. One call for the whole file system: a thousand small
/// files one by one take seconds.
#[cfg(target_os = "linux")]
pub(crate) fn sync(dir: &Path) -> io::Result<()> {
    Ok(nix::unistd::syncfs(File::open(dir)?)?)
}

/// Everything below `dir` is on the disk when this returns.
#[cfg(not(target_os = "linux"))]
pub(crate) fn sync(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(dir)?.sync_all()
}
