//! Questions. Answers are plain lines, so that they can be piped in; they are not echoed then.

use crate::context::Context;
use crate::exit::Failure;

impl Context {
    /// Asks for a text; an empty answer means the default. Without a default it asks again.
    pub(crate) async fn ask(
        &mut self,
        question: &str,
        default: Option<&str>,
    ) -> Result<String, Failure> {
        let prompt = match default {
            Some(default) => format!("{question} [{default}]: "),
            None => format!("{question}: "),
        };
        loop {
            let answer = self.answer(&prompt).await?;
            match (answer.is_empty(), default) {
                (false, _) => return Ok(answer),
                (true, Some(default)) => return Ok(default.to_owned()),
                (true, None) => {}
            }
        }
    }

    /// Asks for a number until one comes.
    pub(crate) async fn ask_number(&mut self, question: &str) -> Result<i64, Failure> {
        loop {
            let answer = self.ask(question, None).await?;
            match answer.trim().parse() {
                Ok(number) => return Ok(number),
                Err(_) => self.print(&format!("Error: '{answer}' is not a valid integer."))?,
            }
        }
    }

    /// Asks yes or no; no is the default.
    pub(crate) async fn confirm(&mut self, question: &str) -> Result<bool, Failure> {
        loop {
            let answer = self.answer(&format!("{question} [y/N]: ")).await?;
            match answer.trim().to_lowercase().as_str() {
                "y" | "yes" => return Ok(true),
                "n" | "no" | "" => return Ok(false),
                _ => self.print("Error: invalid input")?,
            }
        }
    }

    /// Asks for a secret, hidden on a terminal. The question goes to standard error, because what
    /// follows on standard output is often read by a program.
    pub(crate) async fn ask_password(&mut self) -> Result<String, Failure> {
        self.console.err("Password: ");
        let line = self.console.hidden_line().await;
        match line.map_err(|error| Failure::io("read the answer", error))? {
            Some(password) => Ok(password),
            None => Err(Failure::Aborted),
        }
    }

    async fn answer(&mut self, prompt: &str) -> Result<String, Failure> {
        self.write(prompt)?;
        let line = self.console.line().await;
        line.map_err(|error| Failure::io("read the answer", error))?
            .ok_or(Failure::Aborted)
    }
}
