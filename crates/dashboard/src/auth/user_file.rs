//! A file of users, read again when it changes.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Users, UsersError};

/// How long a change of the file may go unseen.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Users, from a file that is read again when it changes, or fixed ones.
#[derive(Clone, Debug)]
pub struct UserFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    users: Arc<Users>,
    /// As the file was when it was read.
    text: String,
    looked_at: Duration,
}

impl UserFile {
    /// Users that stay as they are.
    #[must_use]
    pub fn fixed(users: Users) -> Self {
        Self::new(None, users, String::new())
    }

    /// The users of a file; nobody when it does not exist.
    ///
    /// # Errors
    /// When the file cannot be read, when others on this machine may write it, or when a line is wrong.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, UsersError> {
        let path = path.into();
        let text = read(&path)?;
        let users = parse(&path, &text)?;
        Ok(Self::new(Some(path), users, text))
    }

    fn new(path: Option<PathBuf>, users: Users, text: String) -> Self {
        let state = State { users: Arc::new(users), text, looked_at: Duration::ZERO };
        Self(Arc::new(Inner { path, state: Mutex::new(state) }))
    }

    /// Where they are; nothing for fixed ones.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The users at `now` (monotonic). A file that became unreadable leaves them as they were, and the log says so.
    pub(crate) fn current(&self, now: Duration) -> Arc<Users> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = now.saturating_sub(state.looked_at) < LOOK_AGAIN && !state.looked_at.is_zero();
        let Some(path) = self.0.path.as_deref().filter(|_| !is_fresh) else {
            return Arc::clone(&state.users);
        };
        state.looked_at = now.max(Duration::from_nanos(1));
        match read(path).and_then(|text| {
            if text == state.text { Ok(None) } else { parse(path, &text).map(|users| Some((users, text))) }
        }) {
            Ok(Some((users, text))) => {
                tracing::info!("the users of the dashboard changed");
                (state.users, state.text) = (Arc::new(users), text);
            }
            Ok(None) => {}
            Err(error) => tracing::error!("the users of the dashboard stay as they were: {error}"),
        }
        Arc::clone(&state.users)
    }
}

impl Users {
    /// Reads a file; nobody when it does not exist.
    ///
    /// # Errors
    /// When the file cannot be read, when others on this machine may write it, or when a line is wrong.
    pub fn load(path: &Path) -> Result<Self, UsersError> {
        parse(path, &read(path)?)
    }

    /// Writes the file whole, for the eyes of its owner only.
    ///
    /// # Errors
    /// When it cannot be written: then it is as it was.
    pub fn save(&self, path: &Path) -> Result<(), UsersError> {
        let beside = path.with_extension("new");
        let written = write_private(&beside, &self.to_string()).and_then(|()| fs::rename(&beside, path));
        written.map_err(|error| UsersError::new(format!("{} cannot be written: {error}", path.display())))
    }
}

fn parse(path: &Path, text: &str) -> Result<Users, UsersError> {
    text.parse().map_err(|error| UsersError::new(format!("{}: {error}", path.display())))
}

fn read(path: &Path) -> Result<String, UsersError> {
    let wrong =
        |error: std::io::Error| UsersError::new(format!("{} cannot be read: {error}", path.display()));
    let mode = match fs::metadata(path) {
        Ok(metadata) => mode(&metadata),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(wrong(error)),
    };
    if mode & 0o022 != 0 {
        return Err(UsersError::new(format!(
            "{} may be written by others on this machine, who could let themselves in: chmod 600 it",
            path.display()
        )));
    }
    fs::read_to_string(path).map_err(wrong)
}

#[cfg(unix)]
fn mode(metadata: &fs::Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions())
}

#[cfg(not(unix))]
fn mode(_: &fs::Metadata) -> u32 {
    0
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use lovage_testkit::SeededEntropy;

    use super::*;
    use crate::auth::Role;

    fn users(name: &str) -> Users {
        let mut users = Users::new();
        users.add_token(name, Role::Viewer, &SeededEntropy::new(3)).unwrap();
        users
    }

    #[test]
    fn a_change_is_seen_and_a_broken_file_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        let file = UserFile::open(&path).unwrap();
        let names = |second| {
            let users = file.current(Duration::from_secs(second));
            users.list().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(10), [""; 0]);
        users("ci").save(&path).unwrap();
        assert_eq!(names(11), [""; 0]);
        assert_eq!(names(12), ["ci"]);
        fs::write(&path, "nonsense").unwrap();
        assert_eq!(names(20), ["ci"]);
        users("cd").save(&path).unwrap();
        assert_eq!(names(30), ["cd"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_write_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        users("ci").save(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(UserFile::open(&path).unwrap_err().to_string().contains("chmod 600"));
    }
}
