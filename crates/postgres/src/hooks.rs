//! Hooks that are waited for: `pre_promote` and `before_stop`.

use patroni_config::file::Postgresql;

use crate::cancel::Cancel;
use crate::command::{Command, CommandError};
use patroni_core::Causes;

/// Runs `pre_promote`, if one is configured. `false` means that the promotion must not happen:
/// the script failed, could not be started or was cancelled.
pub async fn run_pre_promote(settings: &Postgresql, cancel: &Cancel) -> bool {
    let Some(text) = &settings.pre_promote else {
        return true;
    };
    match run(text, cancel).await {
        Ok(outcome) => {
            tracing::info!(
                "pre_promote script `{text}` exited with {}",
                outcome.end.code()
            );
            outcome.is_success()
        }
        Err(error) => {
            tracing::error!("Exception when calling `{text}`: {}", Causes(&error));
            false
        }
    }
}

/// Runs `before_stop`, if one is configured. The stop follows, whatever comes out.
pub async fn run_before_stop(settings: &Postgresql, cancel: &Cancel) {
    let Some(text) = &settings.before_stop else {
        return;
    };
    match run(text, cancel).await {
        Ok(outcome) => tracing::info!(
            "before_stop script `{text}` exited with {}",
            outcome.end.code()
        ),
        Err(error) => {
            tracing::error!("Exception when calling `{text}`: {}", Causes(&error));
        }
    }
}

async fn run(text: &str, cancel: &Cancel) -> Result<crate::command::CommandOutcome, CommandError> {
    Command::parse(text)?.run(cancel).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(script: &str) -> Postgresql {
        Postgresql {
            pre_promote: Some(script.to_owned()),
            ..Postgresql::default()
        }
    }

    #[tokio::test]
    async fn promotion_depends_on_the_script() {
        let cancel = Cancel::new();
        assert!(run_pre_promote(&Postgresql::default(), &cancel).await);
        assert!(run_pre_promote(&settings("true"), &cancel).await);
        assert!(!run_pre_promote(&settings("false"), &cancel).await);
        assert!(!run_pre_promote(&settings("/nonexistent/x"), &cancel).await);
        assert!(!run_pre_promote(&settings("'"), &cancel).await);
        cancel.cancel();
        assert!(!run_pre_promote(&settings("true"), &cancel).await);
    }
}
