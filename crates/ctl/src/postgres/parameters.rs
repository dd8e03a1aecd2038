//! What libpq takes from its surroundings: the service that is named, then the environment.

use std::path::{Path, PathBuf};

use crate::settings::Environment;

/// Connection parameters by their keywords.
pub(super) struct Parameters<'a> {
    environment: &'a Environment,
    service: Vec<(String, String)>,
}

impl<'a> Parameters<'a> {
    /// Reads the service that `PGSERVICE` names. The error is a sentence.
    pub(super) fn read(environment: &'a Environment) -> Result<Self, String> {
        let mut parameters = Self {
            environment,
            service: Vec::new(),
        };
        if let Some(name) = parameters.variable("PGSERVICE") {
            parameters.service = parameters.find_service(&name)?;
        }
        Ok(parameters)
    }

    /// A parameter: what the service says goes before the variable.
    pub(super) fn get(&self, keyword: &str, variable: &str) -> Option<String> {
        let of_service = self.service.iter().find(|(key, _)| key == keyword);
        of_service
            .map(|(_, value)| value.clone())
            .or_else(|| self.variable(variable))
    }

    /// A file in the folder of the user.
    pub(super) fn at_home(&self, name: &str) -> Option<PathBuf> {
        Some(PathBuf::from(self.variable("HOME")?).join(name))
    }

    fn variable(&self, name: &str) -> Option<String> {
        let value = self.environment.get(name);
        value.filter(|value| !value.is_empty()).cloned()
    }

    fn find_service(&self, name: &str) -> Result<Vec<(String, String)>, String> {
        let own = self
            .variable("PGSERVICEFILE")
            .map(PathBuf::from)
            .or_else(|| self.at_home(".pg_service.conf"));
        let folder = self.variable("PGSYSCONFDIR").map(PathBuf::from);
        let common = folder.map(|folder| folder.join("pg_service.conf"));
        for file in [own, common].into_iter().flatten() {
            if let Some(found) = service_in(&file, name)? {
                return Ok(found);
            }
        }
        Err(format!(
            "definition of service \"{name}\" not found: name the file that has it in PGSERVICEFILE, or unset PGSERVICE"
        ))
    }
}

/// The section of a service file; a file that does not exist has none.
fn service_in(file: &Path, name: &str) -> Result<Option<Vec<(String, String)>>, String> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(format!("service file \"{}\": {error}", file.display()));
        }
    };
    let lines = text.lines().map(str::trim);
    let mut lines = lines.skip_while(|line| *line != format!("[{name}]"));
    if lines.next().is_none() {
        return Ok(None);
    }
    lines
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| match line.split_once('=') {
            Some((key, value)) => Ok((key.trim().to_owned(), value.to_owned())),
            None => Err(format!(
                "syntax error in service file \"{}\": {line}",
                file.display()
            )),
        })
        .collect::<Result<_, _>>()
        .map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_goes_before_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("services");
        std::fs::write(&file, "[a]\nuser=x\n\n[b]\n# of b\nuser = y\n[c]\nport=1\n").unwrap();
        let mut environment: Environment = [("PGUSER", "z"), ("PGDATABASE", "d")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        environment.insert("PGSERVICEFILE".to_owned(), file.display().to_string());
        let user = |environment: &Environment| {
            let parameters = Parameters::read(environment)?;
            Ok::<_, String>(parameters.get("user", "PGUSER"))
        };
        assert_eq!(user(&environment).unwrap().as_deref(), Some("z"));
        environment.insert("PGSERVICE".to_owned(), "a".to_owned());
        assert_eq!(user(&environment).unwrap().as_deref(), Some("x"));
        let parameters = Parameters::read(&environment).unwrap();
        let database = parameters.get("dbname", "PGDATABASE");
        assert_eq!(database.as_deref(), Some("d"));
        environment.insert("PGSERVICE".to_owned(), "none".to_owned());
        let why = user(&environment).unwrap_err();
        assert!(
            why.contains("\"none\"") && why.contains("PGSERVICEFILE"),
            "{why}"
        );
    }
}
