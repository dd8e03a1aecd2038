//! Editing a text in the user's editor.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use crate::exit::Failure;
use crate::settings::Environment;

/// Lets the user edit `text` and returns the result. Blocks until the editor ends; the file is
/// removed in any case.
pub(crate) fn edit(environment: &Environment, scope: &str, text: &str) -> Result<String, Failure> {
    let editor = choose(environment)?;
    let mut file = temporary(scope).map_err(|error| Failure::io("create a file", error))?;
    let path = file.path.clone();
    let written = file.handle.write_all(text.as_bytes());
    written.map_err(|error| Failure::io("write the file to edit", error))?;
    let status = Command::new(&editor.program)
        .args(&editor.arguments)
        .arg(&path)
        .status()
        .map_err(|error| {
            Failure::io(
                format!("run the editor {}", editor.program.display()),
                error,
            )
        })?;
    if !status.success() {
        // a shell's way of saying that a signal ended it
        let code = status.code().unwrap_or(-1);
        return Err(Failure::refused(format!(
            "Editor exited with return code {code}"
        )));
    }
    std::fs::read_to_string(&path).map_err(|error| Failure::io("read the edited file", error))
}

/// A program and what it is told before the file.
#[derive(Debug, PartialEq, Eq)]
struct Editor {
    program: PathBuf,
    arguments: Vec<String>,
}

impl Editor {
    /// `$EDITOR` is one word where there is a program of that name, blanks included; else its
    /// later words are arguments (`emacs -nw`).
    fn named(environment: &Environment, text: &str) -> Self {
        let mut words = text.split_whitespace().map(str::to_owned);
        match words.next() {
            Some(program) if find(environment, text).is_none() => Self {
                program: PathBuf::from(program),
                arguments: words.collect(),
            },
            _ => Self::alone(PathBuf::from(text)),
        }
    }

    fn alone(program: PathBuf) -> Self {
        Self {
            program,
            arguments: Vec::new(),
        }
    }
}

/// `$EDITOR`, else `editor`, else `vi`.
fn choose(environment: &Environment) -> Result<Editor, Failure> {
    if let Some(editor) = environment.get("EDITOR").filter(|text| !text.is_empty()) {
        return Ok(Editor::named(environment, editor));
    }
    ["editor", "vi"]
        .into_iter()
        .find_map(|name| find(environment, name))
        .map(Editor::alone)
        .ok_or_else(|| {
            Failure::refused(
                "EDITOR environment variable is not set. editor or vi are not available",
            )
        })
}

/// The program of this name or path, if it can be run.
pub(crate) fn find(environment: &Environment, name: &str) -> Option<PathBuf> {
    use nix::unistd::{AccessFlags, access};
    let runs = |path: &PathBuf| path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(runs);
    }
    environment
        .get("PATH")?
        .split(':')
        .map(|folder| PathBuf::from(folder).join(name))
        .find(runs)
}

struct Temporary {
    path: PathBuf,
    handle: std::fs::File,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).ok();
    }
}

/// A new file that only the user can read, `SCOPE-config-*.yaml`.
fn temporary(scope: &str) -> std::io::Result<Temporary> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let folder = std::env::temp_dir();
    let mut number = u64::from(std::process::id());
    loop {
        let name = format!("{}-config-{number:x}.yaml", scope.replace('/', "_"));
        let path = folder.join(name);
        let opened = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        match opened {
            Ok(handle) => return Ok(Temporary { path, handle }),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                number = number.wrapping_mul(31).wrapping_add(7);
            }
            Err(error) => return Err(error),
        }
    }
}
