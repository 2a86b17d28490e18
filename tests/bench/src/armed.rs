//! Programs with crash points are refused: a workspace build arms them, and a 202 then takes ten times as long.

use runtime::Fatal;
use std::path::Path;

/// The variable that only an armed program reads, so its name stands in no other program.
const MARKER: &[u8] = b"PAYMINT_KILL_AT";

/// Refuses a program that was built with the feature `failpoints`.
///
/// # Errors
/// Names the program and the command that builds it without; also if the program cannot be read.
pub fn refuse_armed(program: &Path) -> Result<(), Fatal> {
    let bytes = std::fs::read(program).map_err(|e| format!("{} cannot be read: {e}", program.display()))?;
    if bytes.windows(MARKER.len()).any(|window| window == MARKER) {
        let program = program.display();
        return Err(format!("{program} has failpoints: `make bench` builds the services without them").into());
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_failpoints_is_refused_and_another_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("api");
        std::fs::write(&program, [&[0x7f, b'E', b'L', b'F'], MARKER, &[0]].concat()).unwrap();
        let error = refuse_armed(&program).unwrap_err().to_string();
        assert!(error.contains("failpoints") && error.contains("make bench"), "{error}");
        std::fs::write(&program, b"\x7fELF PAYMINT_KILL").unwrap();
        refuse_armed(&program).unwrap();
        assert!(refuse_armed(&dir.path().join("none")).is_err());
    }

    /// The marker is what the feature really leaves in a program: this test program links `runtime` without it, except
    /// where the whole workspace is built.
    #[test]
    fn the_marker_is_the_variable_of_the_crash_points() {
        let source = include_str!("../../../crates/runtime/src/failpoint.rs");
        let armed = source.split_once("mod armed").unwrap().1;
        assert!(armed.contains(&format!("var(\"{}\")", std::str::from_utf8(MARKER).unwrap())));
    }
}
