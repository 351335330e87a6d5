//! Tests the content and escaping of pages made from plain values.

use super::*;
use crate::train::history::{EpochRecord, History};

fn picture() -> Picture {
    Picture { uri: "data:image/png;base64,AAAA".to_owned(), width: 4, height: 3, pixelated: true }
}

fn card(item: usize, right: Option<bool>) -> ImageCard {
    let heat = Drawn::Heat {
        heat: picture(),
        veil: picture(),
        signed: picture(),
        high: "0.42".to_owned(),
        largest: "0.5".to_owned(),
    };
    let empty = Drawn::Empty { reason: "every activation is <zero>".to_owned() };
    ImageCard {
        item,
        name: format!("image_{item}"),
        source: "a/<script>alert(1)</script>.png".to_owned(),
        label: right.map(|_| "\"cat\"".to_owned()),
        predicted: "dog & wolf".to_owned(),
        probability: 0.75,
        right,
        image: picture(),
        maps: [heat, empty]
            .map(|drawn| CardMap { class: "<i>cat</i>".to_owned(), drawn, focus: None })
            .to_vec(),
        check: Some(OcclusionCheck { hottest: 1.5, coldest: 2.0 }),
        measure: None,
        truth: None,
    }
}

fn map(title: &str, layer: &str) -> MapInfo {
    MapInfo {
        title: title.to_owned(),
        method: "grad_cam",
        summary: "what it shows",
        caution: Some("take care"),
        layer: Some(layer.to_owned()),
    }
}

fn report() -> Report {
    let answers = ImagePredictions::new(&["a".to_owned(), "b".to_owned()]);
    Report {
        title: "<model> & data".to_owned(),
        headline: Headline::of(&ModelVerdict::default(), true),
        verdict: ModelVerdict::default(),
        warnings: vec!["mind the </script> gap".to_owned()],
        answers,
        training: None,
        audit: None,
        gallery: Gallery {
            maps: vec![map("Grad-CAM (one)", "one"), map("Grad-CAM (two)", "two")],
            main: 0,
            cards: vec![card(0, Some(true)), card(7, Some(false)), card(9, None)],
            total: 500,
            colormap: crate::render::Colormap::Inferno,
        },
        data_set: None,
        tables: Vec::new(),
        provenance: vec![ProvenanceEntry { name: "command", value: "heatlens 'a<b'".to_owned() }],
    }
}

#[test]
fn every_value_is_escaped() {
    let html = report().to_html();
    for markup in
        ["<script>alert", "</script> gap", "<i>cat", "<model>", "a<b", "<zero>", "value=\"\"cat\"\""]
    {
        assert!(!html.contains(markup), "{markup}");
    }
    for text in [
        "&lt;script&gt;alert(1)",
        "&lt;i&gt;cat",
        "&lt;model&gt; &amp; data",
        "dog &amp; wolf",
        "&quot;cat&quot;",
    ] {
        assert!(html.contains(text), "{text}");
    }
    // The page's own script and no other.
    assert_eq!(html.matches("<script").count(), 1);
}

#[test]
fn a_choice_of_images_is_called_one() {
    let html = report().to_html();
    assert!(html.contains("This page shows 3 of 500 images"));
    let mut whole = report();
    whole.gallery.total = 3;
    assert!(!whole.to_html().contains("This page shows"));
}

#[test]
fn a_page_of_large_pictures_shows_fewer() {
    let large = |item: usize, right: bool| {
        let uri = "x".repeat(100_000);
        ImageCard { image: Picture { uri, ..picture() }, maps: Vec::new(), ..card(item, Some(right)) }
    };
    let cards = |right: bool, count: usize| (0..count).map(|item| large(item, right)).collect::<Vec<_>>();
    let (mut wrong, mut others) = (cards(false, 10), cards(true, 40));
    collect::fit(&mut wrong, &mut others, 2_500_000);
    assert_eq!((wrong.len(), others.len()), (10, 15));
    // 12 images are shown at any size.
    collect::fit(&mut wrong, &mut others, 0);
    assert_eq!(wrong.len() + others.len(), 12);
    let (mut wrong, mut others) = (cards(false, 1), cards(true, 2));
    collect::fit(&mut wrong, &mut others, usize::MAX);
    assert_eq!((wrong.len(), others.len()), (1, 2));
}

#[test]
fn filters_are_offered_where_there_is_something_to_filter() {
    let html = report().to_html();
    for control in [
        "id=\"map\"",
        "id=\"sort\"",
        "errors first",
        "least faithful first",
        "id=\"outcome\"",
        "id=\"class\"",
    ] {
        assert!(html.contains(control), "{control}");
    }
    let mut plain = report();
    plain.gallery.maps.truncate(1);
    plain.gallery.cards = vec![ImageCard { check: None, ..card(0, None) }];
    let html = plain.to_html();
    for control in ["id=\"map\"", "errors first", "least faithful first", "id=\"outcome\"", "id=\"class\""] {
        assert!(!html.contains(control), "{control}");
    }
}

#[test]
fn several_layers_of_a_method_are_a_strip() {
    assert!(report().to_html().contains("class=\"tiles strip\""));
    let mut other = report();
    other.gallery.maps[1].method = "rise";
    assert!(!other.to_html().contains("class=\"tiles strip\""));
}

#[test]
fn pictures_lie_in_the_page_once() {
    let mut one = report();
    one.gallery.cards.truncate(1);
    assert_eq!(one.to_html().matches("data:image/png").count(), 4, "the image, heat, veil and signs");
}

#[test]
fn an_audit_has_a_part_of_its_own() {
    let audited = Report { audit: Some(Audit { images: 64, ..Audit::default() }), ..report() };
    let html = audited.to_html();
    assert!(html.contains("href=\"#methods\"") && html.contains("Measured on 64 images"));
    assert!(!report().to_html().contains("#methods"));
}

#[test]
fn the_learning_curve_has_a_legend_and_the_kept_epoch() {
    let mut trained = report();
    let record = |epoch: u64| EpochRecord {
        epoch,
        loss: Some(1.0 / epoch as f64),
        val_loss: Some(0.5),
        ..EpochRecord::default()
    };
    trained.training = Some(Training {
        history: History { records: (1..=10).map(record).collect() },
        kept_epoch: Some(7),
        verdict: Some("learned".to_owned()),
        title: None,
        sentence: Some("It learned.".to_owned()),
    });
    let html = trained.to_html();
    for text in
        ["Learning curve: loss", ">training</text>", ">validation</text>", "class=\"marker\"", "It learned."]
    {
        assert!(html.contains(text), "{text}");
    }
}

#[test]
fn a_class_that_means_absence_is_explained_once() {
    let mut absent = report();
    absent.answers = ImagePredictions::new(&["defect".to_owned(), "ok".to_owned()]);
    let answer =
        |predicted| ImagePrediction { name: "a".to_owned(), label: None, predicted, top: Vec::new() };
    absent.answers.rows = vec![answer(0)];
    assert!(!absent.to_html().contains("absence has no location"), "no image is of it");
    absent.answers.rows.push(answer(1));
    assert_eq!(absent.to_html().matches("absence has no location").count(), 1);
    assert!(!report().to_html().contains("absence has no location"));
}

#[test]
fn many_classes_have_their_confusions_and_each_image_its_top_five() {
    let mut many = report();
    many.answers = ImagePredictions::new(&(0..1000).map(|k| format!("class {k}")).collect::<Vec<_>>());
    let answer = |label: usize| ImagePrediction {
        name: format!("photo_{label}"),
        label: Some(label),
        predicted: 7,
        top: vec![(7, 0.5), (label, 0.25)],
    };
    many.answers.rows = (20..40).map(answer).collect();
    let labels: Vec<usize> = (20..40).collect();
    many.verdict = ModelVerdict {
        confusion: crate::stats::confusion::ConfusionMatrix::of(&labels, &[7; 20]),
        class_names: many.answers.class_names.clone(),
        judgement: crate::trust::significance::Judgement { images: 20, ..Default::default() },
        ..ModelVerdict::default()
    };
    let html = many.to_html();
    for text in
        ["Most frequent confusions", "class 39", "Top 2 classes of 20 images", "photo_20", "true: class 20"]
    {
        assert!(html.contains(text), "{text}");
    }
    assert!(!html.contains("class=\"confusion\""));
}

#[test]
fn what_scrolls_can_be_reached_by_keyboard_and_has_a_name() {
    let mut wide = report();
    let rows = vec![vec!["a".to_owned(), "1".to_owned()]];
    let columns = ["method", "share"].map(str::to_owned).to_vec();
    wide.tables = vec![Table { title: "Shares".to_owned(), lead: String::new(), columns, rows }];
    let html = wide.to_html();
    let named = "class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Shares\"";
    assert!(html.contains(named));
    assert_eq!(
        html.matches("class=\"scroll\"").count(),
        html.matches("class=\"scroll\" tabindex=\"0\" role=\"region\"").count()
    );
}
