//! The logs of the processes.

use crate::CannotAudit;
use std::path::Path;

/// One file.
#[derive(Clone, Debug)]
pub struct LogFile {
    /// Its name.
    pub name: String,
    /// All of it; bytes that are no UTF-8 are replaced.
    pub text: String,
}

/// Every `*.log` of a directory.
///
/// # Errors
/// The directory, or one of its files, cannot be read.
pub fn read(dir: &Path) -> Result<Vec<LogFile>, CannotAudit> {
    let fail = |path: &Path, e: std::io::Error| CannotAudit(format!("{}: {e}", path.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|e| fail(dir, e))? {
        let path = entry.map_err(|e| fail(dir, e))?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let bytes = std::fs::read(&path).map_err(|e| fail(&path, e))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push(LogFile { name, text: String::from_utf8_lossy(&bytes).into_owned() });
        }
    }
    Ok(files)
}
