//! Wrong usage ends with a sentence about the flag, never with a crash and never with files.

use crate::common::{Run, Trained, explain, heatlens, train};

#[track_caller]
fn refused(run: &Run, words: &[&str]) {
    assert!(run.code == 1 || run.code == 2, "{run:?}");
    run.says(run.code, words);
}

#[test]
fn words_the_program_does_not_know_end_with_code_2() {
    heatlens::<&str>("trian", &[]).says(2, &["trian", "train"]);
    heatlens::<&str>("methods --loud", &[]).says(2, &["--loud"]);
    heatlens::<&str>("explain", &[]).says(2, &["MODEL"]);
    heatlens::<&str>("methods --threads 0", &[]).says(2, &["--threads 0", "1 or more"]);
    heatlens::<&str>("", &[]).says(2, &["Usage"]);
    heatlens::<&str>("--version", &[]).says(0, &[env!("CARGO_PKG_VERSION")]);
}

#[test]
fn numbers_that_make_no_sense_are_refused_before_training() {
    let trained = Trained::new(2);
    let out = trained.path("out");
    let cases: &[(&str, &[&str])] = &[
        ("--epochs 0", &["0 epochs", "at least 1"]),
        ("--batch-size 0", &["batch size of 0", "at least 1"]),
        ("--epochs many", &["--epochs", "many"]),
        ("--learning-rate nan", &["learning rate of NaN", "above 0"]),
        ("--learning-rate=-1", &["learning rate of -1", "above 0"]),
        ("--learning-rate 0", &["learning rate of 0", "above 0"]),
        ("--learning-rate inf", &["learning rate of inf", "above 0"]),
        ("--validation-split 1.5", &["1.5", "less than 1"]),
        ("--validation-split=-0.1", &["-0.1", "0 or more"]),
        ("--validation-split nan", &["NaN", "less than 1"]),
        ("--validation-split 0.999 --split last", &["nothing for training"]),
        ("--split first", &["--split first", "stratified or last"]),
        ("--shift 3", &["shift of 3", "from 0 to 1"]),
        ("--rotation nan", &["rotation by NaN"]),
        ("--optimizer sgd --momentum nan", &["momentum", "NaN"]),
        ("--optimizer adamw --weight-decay nan", &["weight decay", "NaN"]),
        ("--optimizer lion", &["--optimizer lion", "adam, adamw or sgd"]),
        ("--lr-schedule wild", &["--lr-schedule wild", "cosine"]),
        ("--monitor happiness", &["happiness", "history.csv"]),
        ("--class-weight 1,2,3", &["3 class weights", "expected 2"]),
        ("--class-weight heavy", &["--class-weight heavy", "balanced"]),
        ("--arch resnet", &["--arch resnet", "gap-cnn or gap-cnn-bn"]),
        ("--size big", &["--size big", "95x80"]),
        ("--size 0", &["--size 0", "95x80"]),
        ("--channels 0", &["channel"]),
        ("--resize stretch", &["--resize", "stretch"]),
        ("--seed=-1", &["--seed", "-1"]),
    ];
    for (flags, words) in cases {
        let run = train(&trained.data, &out, flags);
        refused(&run, words);
        assert!(!out.exists(), "{flags} left files, which are in the way of the corrected command");
    }
}

#[test]
fn rows_are_checked_against_the_array() {
    let trained = Trained::new(2);
    let out = trained.path("out");
    let cases: &[(&str, &[&str])] = &[
        ("--rows nonsense", &["--rows", "nonsense", "0:2000"]),
        ("--rows 5:2", &["5:2"]),
        ("--rows 30:60", &["30:60", "36 rows"]),
        ("--rows 36", &["36", "36 rows"]),
        ("--rows 99999999999999999999", &["--rows"]),
    ];
    for (flags, words) in cases {
        refused(&explain(&trained.model, &trained.data, &out, flags), words);
        refused(&train(&trained.data, &out, flags), words);
        assert!(!out.exists(), "{flags}");
    }
}

#[test]
fn what_explain_does_not_know_is_refused() {
    let trained = Trained::new(2);
    let out = trained.path("out");
    for flags in
        ["--save jpg", "--score sum", "--class 2", "--class=-1", "--method ,", "--layer ,", "--layout hwc"]
    {
        explain(&trained.model, &trained.data, &out, flags).ends(2);
        assert!(!out.exists(), "{flags}");
    }
}
