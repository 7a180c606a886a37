//! The handle to a database: one writer and a few readers of one SQLite file.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lovage_core::{BackendError, BackendErrorKind};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection as _, Sqlite, Transaction};

use super::mounts;
use super::url::{Durability, SqliteUrl};
use crate::error::sql_error;

/// A transaction that may write. Dropping it without `commit` rolls it back.
pub type WriteTransaction = Transaction<'static, Sqlite>;

const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Waiting for the process's own writer; longer than one wait for other processes.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
const READERS: u32 = 3;
const STATEMENT_CACHE: usize = 256;
/// After a checkpoint a write-ahead log that grew beyond this is cut.
const JOURNAL_SIZE_LIMIT: &str = "67108864";

/// A database, opened and checked. Cheap to clone; clones share the connections.
///
/// SQLite lets one connection write at a time, so a process has exactly one writer: give the same
/// `SqliteDatabase` to everything that uses the same file.
#[derive(Debug, Clone)]
pub struct SqliteDatabase {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// The file that the connections have open; `None` where it cannot be told.
    file: Option<FileId>,
    writer: SqlitePool,
    reader: SqlitePool,
}

impl SqliteDatabase {
    /// Opens `sqlite://relative.db` or `sqlite:///absolute.db`, creating the file where there is none.
    ///
    /// `?durability=full` makes every commit survive a power loss; `?durability=normal`, the default, may
    /// lose the last commits then (never at a crash of a process).
    ///
    /// # Errors
    /// `Config` for a URL that is not understood, a directory, a missing or read-only place, a network file
    /// system; `Corrupt` for a file that is no database; `Unavailable`
    /// where other processes keep it locked for longer than 10 s.
    pub async fn connect(url: &str) -> Result<Self, BackendError> {
        let SqliteUrl { path, durability } = SqliteUrl::parse(url)?;
        let path = check_place(&path)?;
        let options = connect_options(&path, durability);
        let writer = pool_options(1).connect_with(options.clone()).await;
        let writer = writer.map_err(|err| open_error(&path, err))?;
        prepare_file(&path, &writer).await?;
        let reader = pool_options(READERS).connect_lazy_with(reader_options(options));
        let file = FileId::read(&path);
        Ok(Self { inner: Arc::new(Inner { path, file, writer, reader }) })
    }

    /// The absolute path of the database file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// A small pool for reading; it refuses to write. A query sees everything committed before it started.
    pub fn reader(&self) -> &SqlitePool {
        &self.inner.reader
    }

    /// Waits for the writer and starts a transaction that holds the write lock from its first moment
    /// (`BEGIN IMMEDIATE`), so that it cannot fail half-way because somebody else wrote in between.
    ///
    /// # Errors
    /// `Unavailable` where the lock is not had within 10 s of other processes, 30 s within this one, and where the file was
    /// deleted or replaced while it was open: what is written into it would be lost.
    pub async fn write_tx(&self) -> Result<WriteTransaction, BackendError> {
        self.check_file()?;
        let begun = self.inner.writer.begin_with("BEGIN IMMEDIATE").await;
        begun.map_err(|err| sql_error("start a write transaction", err))
    }

    /// Refuses a file that is no longer at its path. Putting it back there heals this.
    fn check_file(&self) -> Result<(), BackendError> {
        let Inner { path, file, .. } = &*self.inner;
        let found = FileId::read(path);
        if file.is_none() || found == *file {
            return Ok(());
        }
        let what = if found.is_some() { "replaced" } else { "deleted" };
        Err(BackendError::new(
            BackendErrorKind::Unavailable,
            format!(
                "the database file {} was {what} while this process has it open: put the file back, or stop all processes \
                 that use it and start them again",
                path.display()
            ),
        ))
    }

    /// Closes all connections after what runs on them has ended. Later calls fail as `Unavailable`; closing
    /// twice is safe.
    pub async fn close(&self) {
        // The writer last: the last connection to close folds the write-ahead log into the file.
        self.inner.reader.close().await;
        self.inner.writer.close().await;
    }
}

/// The identity of a file, whatever its name. A file that is open keeps it, so no other one can have it meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn read(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata(path).ok().map(|found| Self { device: found.dev(), inode: found.ino() })
    }
}

fn connect_options(path: &Path, durability: Durability) -> SqliteConnectOptions {
    let synchronous = match durability {
        Durability::Full => SqliteSynchronous::Full,
        Durability::Normal => SqliteSynchronous::Normal,
    };
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .synchronous(synchronous)
        .statement_cache_capacity(STATEMENT_CACHE)
        .pragma("journal_size_limit", JOURNAL_SIZE_LIMIT)
        .thread_name(|number| format!("lovage-sqlite-{number}"))
        // Brokers run thousands of statements a second; who wants them traced uses SQLite's own tools.
        .disable_statement_logging()
}

fn reader_options(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options.create_if_missing(false).pragma("query_only", "ON")
}

fn pool_options(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .max_lifetime(None)
        .idle_timeout(None)
        // SQLite ends a transaction by itself where its COMMIT meets a full disk. The driver's own rollback fails then, and it
        // takes the connection for one with an open transaction and begins no other one for as long as it lives.
        .before_acquire(|connection, _| {
            let usable = !connection.is_in_transaction();
            Box::pin(async move { Ok(usable) })
        })
}

/// Everything that can be known about the place without opening the file. The file itself must not be opened
/// here: POSIX drops all locks of a process on a file when it closes *any* descriptor of it, SQLite's too.
fn check_place(path: &Path) -> Result<PathBuf, BackendError> {
    let path = resolve(path)?;
    let shown = path.display();
    if let Ok(metadata) = fs::metadata(&path) {
        if !metadata.is_file() {
            return Err(config(format!("{shown} is not a regular file: name a file in the database URL")));
        }
        if metadata.permissions().readonly() {
            return Err(config(format!("{shown} is read-only: make it writable for this user (chmod u+w)")));
        }
    }
    if let Some(kind) = mounts::network_file_system(&path) {
        return Err(config(format!(
            "{shown} is on a network file system ({kind}), where SQLite cannot lock: \
             put the database on a local disk, or use Redis for several machines"
        )));
    }
    Ok(path)
}

/// Makes the path absolute, so that neither a later `chdir` nor a symbolic link makes two databases of one.
fn resolve(path: &Path) -> Result<PathBuf, BackendError> {
    if let Ok(path) = path.canonicalize() {
        return Ok(path);
    }
    let Some(name) = path.file_name() else {
        return Err(config(format!("{} names no file", path.display())));
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let parent = parent.canonicalize().map_err(|err| {
        let shown = parent.display();
        config(format!("the directory {shown} of the database cannot be used ({err}): create it first"))
            .with_source(err)
    })?;
    Ok(parent.join(name))
}

/// Switches the file to write-ahead logging, a property that the file keeps, and proves that it can be written.
async fn prepare_file(path: &Path, writer: &SqlitePool) -> Result<(), BackendError> {
    /// The switch needs the file for itself and does not wait for it; taking the write lock does wait, so
    /// when several processes start on a new file, each round lets at least one of them through.
    const ROUNDS: usize = 100;
    let wal = SqliteJournalMode::Wal;
    for _ in 0..ROUNDS {
        write_lock_once(path, writer).await?;
        let mode: Result<String, _> = sqlx::query_scalar("PRAGMA journal_mode = WAL").fetch_one(writer).await;
        match mode {
            Ok(mode) if mode.parse::<SqliteJournalMode>().is_ok_and(|mode| mode == wal) => return Ok(()),
            Ok(mode) => {
                return Err(config(format!(
                    "{} stays in journal mode {mode} and Lovage needs WAL: \
                     put the database on a local disk that supports shared memory",
                    path.display()
                )));
            }
            Err(err) if is_busy(&err) => tracing::debug!("others are opening the database; once more"),
            Err(err) => return Err(open_error(path, err)),
        }
    }
    Err(BackendError::new(
        BackendErrorKind::Unavailable,
        format!("{} is kept busy by other processes: try again", path.display()),
    ))
}

async fn write_lock_once(path: &Path, writer: &SqlitePool) -> Result<(), BackendError> {
    let transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(|err| open_error(path, err))?;
    transaction.rollback().await.map_err(|err| open_error(path, err))
}

fn is_busy(err: &sqlx::Error) -> bool {
    let code = err.as_database_error().and_then(|err| err.code()).and_then(|code| code.parse::<i32>().ok());
    matches!(code.map(|code| code & 0xff), Some(5 | 6))
}

/// While opening, "cannot open" is a matter of the place and not of the moment.
fn open_error(path: &Path, err: sqlx::Error) -> BackendError {
    const SQLITE_CANTOPEN: &str = "14";
    let shown = path.display();
    let code = err.as_database_error().and_then(|err| err.code());
    if code.is_some_and(|code| code == SQLITE_CANTOPEN) {
        let message = format!("cannot open or create {shown}: make its directory writable for this user");
        return config(message).with_source(err);
    }
    sql_error(&format!("open the database {shown}"), err)
}

fn config(message: impl Into<String>) -> BackendError {
    BackendError::new(BackendErrorKind::Config, message)
}
