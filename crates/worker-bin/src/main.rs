//! The stock `lovage` binary: every subcommand, with the three tasks of the tutorial, and in `dev` its three schedules.

// The name that users give to the crate, and where `#[task]` looks.
extern crate lovage_worker_bin as lovage;

use std::process::ExitCode;

use lovage::schedule::{Units as _, crontab, every};
use lovage::{App, tasks};

mod movies {
    //! The tutorial's tasks.

    use lovage::TaskError;

    #[lovage::task(name = "movies.tasks.add")]
    pub(crate) async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
        x.checked_add(y).ok_or_else(|| TaskError::permanent("the sum does not fit into 64 bits"))
    }

    #[lovage::task(name = "multiply_two_numbers")]
    pub(crate) async fn multiply_two_numbers(x: i64, y: i64) -> Result<i64, TaskError> {
        x.checked_mul(y).ok_or_else(|| TaskError::permanent("the product does not fit into 64 bits"))
    }

    #[lovage::task(name = "sum_list_numbers")]
    pub(crate) async fn sum_list_numbers(numbers: Vec<i64>) -> Result<i64, TaskError> {
        let sum = numbers.into_iter().try_fold(0_i64, i64::checked_add);
        sum.ok_or_else(|| TaskError::permanent("the sum does not fit into 64 bits"))
    }
}

fn main() -> ExitCode {
    let tasks = tasks![movies::add, movies::multiply_two_numbers, movies::sum_list_numbers];
    let multiply = || movies::multiply_two_numbers::call(16, 16);
    App::new()
        .name("lovage")
        .tasks(tasks)
        .dev_schedule("multiply-task-crontab", crontab("30 7 * * mon"), multiply())
        .dev_schedule("multiply-every-5-seconds", every(5.secs()), multiply())
        .dev_schedule("add-every-30-seconds", every(30.secs()), movies::add::call(16, 16))
        .run()
}
