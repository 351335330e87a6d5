//! Tests of `report.html` in a browser: it opens without errors, its slider and filters work, and names cannot break
//! it.
//!
//! Needs Chromium: the one in `HEATLENS_CHROMIUM`, or `chromium`. Without one, the browser tests print a note and pass;
//! if `HEATLENS_CHROMIUM` names one that does not start, they fail.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{QUICK, Trained, explain, files, save_png, train};

/// Time after which a browser is considered to hang.
const PATIENCE: Duration = Duration::from_secs(120);

/// Names that would be markup if they were not escaped.
const CLASSES: [&str; 2] = ["<i>one", "two & \"half\""];
const STRANGE: &str = "\"><img src=x onerror=alert(1)>.png";

fn chromium() -> Option<OsString> {
    let named = std::env::var_os("HEATLENS_CHROMIUM");
    let browser = named.clone().unwrap_or_else(|| "chromium".into());
    let works =
        Command::new(&browser).args(["--version", "--no-sandbox"]).output().is_ok_and(|o| o.status.success());
    assert!(works || named.is_none(), "HEATLENS_CHROMIUM={browser:?} does not start");
    if !works {
        // Written to stderr directly, because the test harness hides the output of passing tests.
        let note = "no Chromium to open the report in; name one by HEATLENS_CHROMIUM";
        assert!(
            std::env::var_os("HEATLENS_REQUIRE_ALL").is_none(),
            "HEATLENS_REQUIRE_ALL is set, but {note}"
        );
        let _ = writeln!(std::io::stderr(), "SKIPPED: {note}");
    }
    works.then_some(browser)
}

/// Opens a page and returns the document after all scripts have run, and the log.
fn open(browser: &OsString, page: &Path, folder: &Path) -> (String, String) {
    let (dom, log) = (folder.join("dom.html"), folder.join("log.txt"));
    let mut child = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--enable-logging=stderr"])
        .args(["--virtual-time-budget=20000", "--window-size=1200,900"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("file://{}", page.display()))
        .stdout(File::create(&dom).unwrap())
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("the browser hangs: {}", fs::read_to_string(&log).unwrap_or_default());
        }
        thread::sleep(Duration::from_millis(50));
    }
    (fs::read_to_string(dom).unwrap(), String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned())
}

/// Creates a report on two classes with special characters in their names; the model misclassifies one image.
fn report(folder: &Path) -> String {
    let data = folder.join("data");
    for (class, name) in CLASSES.iter().enumerate() {
        for n in 0..20 {
            save_png(&data.join(name).join(format!("{n:03}.png")), n, class);
        }
    }
    let run = folder.join("run");
    train(&data, &run, QUICK).ends(0);
    // Stripes of the first class in the folder of the second.
    save_png(&data.join(CLASSES[1]).join(STRANGE), 3, 0);
    let out = folder.join("out");
    explain(&run.join("model.onnx"), &data, &out, "--report --method grad_cam,gradient --save npz").ends(0);
    fs::read_to_string(out.join("report.html")).unwrap()
}

/// Script that operates the page like a user and records the results.
const VISIT: &str = r#"<script>
(() => {
  const found = [];
  const check = (name, holds) => found.push((holds ? "ok " : "FAILED ") + name);
  const all = () => [...document.querySelectorAll(".card")];
  const shown = () => all().filter((card) => card.offsetParent !== null);
  const choose = (id, value) => {
    const control = document.getElementById(id);
    control.value = value;
    control.dispatchEvent(new Event(control.type === "range" ? "input" : "change"));
  };
  const opacity = (card, layer) => Number(getComputedStyle(card.querySelector(".layers:not([hidden]) " + layer)).opacity);
  const [first, second] = all();

  check("41 cards", shown().length === 41);
  check("starts with the map over the image", opacity(first, ".veil") === 1 && opacity(first, ".heat") === 0);
  choose("fade", 0);
  check("left is the image", opacity(first, ".veil") === 0 && opacity(first, ".heat") === 0);
  choose("fade", 100);
  check("right is the map", opacity(second, ".heat") === 1);
  const own = second.querySelector(".fade input");
  own.value = 75;
  own.dispatchEvent(new Event("input"));
  check("a card's own slider", opacity(second, ".heat") === 0.5 && opacity(first, ".heat") === 1);

  choose("map", 1);
  check("the other map", first.querySelector(".whole").offsetParent !== null && first.querySelector(".heat").offsetParent === null);
  choose("map", 0);

  const strange = all().filter((card) => card.dataset.right === "0");
  check("one is wrong", strange.length === 1);
  check("which is not first", all()[0] !== strange[0]);
  choose("sort", "errors");
  check("errors first", all()[0] === strange[0]);
  choose("sort", "faith");
  const faith = all().map((card) => card.dataset.faith === "" ? Infinity : Number(card.dataset.faith));
  check("least faithful first", faith[0] < faith[40] && faith.every((f, i) => i === 0 || faith[i - 1] <= f));
  choose("sort", "unsure");
  const sure = all().map((card) => Number(card.dataset.sure));
  check("least sure first", sure[0] < sure[40] && sure.every((s, i) => i === 0 || sure[i - 1] <= s));
  choose("sort", "order");
  check("as in the data again", all()[0] === first);

  choose("outcome", "0");
  check("wrong only", shown().length === 1 && shown()[0] === strange[0]);
  check("counted", document.getElementById("count").textContent === "1");
  choose("outcome", "");
  const options = [...document.getElementById("class").options].map((option) => option.value);
  check("class names are as they are", options.join("|") === '|<i>one|two & "half"');
  choose("class", 'two & "half"');
  check("one class", shown().length === 21 && shown().every((card) => card.dataset.label === options[2] || card.dataset.predicted === options[2]));
  choose("outcome", "1");
  check("both filters", shown().length === 20);
  choose("class", ""); choose("outcome", "");
  check("all again", shown().length === 41);

  check("names are no markup", document.querySelector("img, main i, [onerror]") === null);
  const names = [...document.querySelectorAll("dd")].map((d) => d.textContent);
  check("the strange name is shown", names.some((name) => name.includes('"><img src=x onerror=alert(1)>.png')));
  strange[0].querySelector("summary").click();
  check("details open", strange[0].querySelector(".tiles").offsetParent !== null);
  check("no sideways scrolling", document.documentElement.scrollWidth <= innerWidth);
  const result = document.createElement("pre");
  result.id = "visit";
  result.textContent = found.concat(window.complaints.map((c) => "FAILED " + c)).join("\n");
  document.body.append(result);
})();
</script>"#;

const COMPLAINTS: &str = r#"<script>
window.complaints = [];
addEventListener("error", (event) => complaints.push(event.message ?? "an element failed"), true);
addEventListener("securitypolicyviolation", (event) => complaints.push(event.violatedDirective + " " + event.blockedURI));
</script>"#;

#[test]
fn the_page_works_in_a_browser() {
    let Some(browser) = chromium() else { return };
    let folder = tempfile::tempdir().unwrap();
    let html = report(folder.path());
    let visited =
        html.replace("<head>", &format!("<head>{COMPLAINTS}")).replace("</body>", &format!("{VISIT}</body>"));
    assert!(visited.len() >= html.len() + COMPLAINTS.len() + VISIT.len(), "the visit is not in the page");
    let page = folder.path().join("visited.html");
    fs::write(&page, visited).unwrap();
    let (dom, log) = open(&browser, &page, folder.path());
    let result = dom.split_once("<pre id=\"visit\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let result = result.unwrap_or_else(|| panic!("the visit did not end:\n{log}")).0;
    println!("{result}");
    assert!(!result.contains("FAILED"), "{result}");
    assert_eq!(result.matches("ok ").count(), VISIT.matches("check(\"").count(), "{result}");
    assert!(!log.contains("CONSOLE"), "{log}");
}

#[test]
fn the_page_stands_alone_and_repeats() {
    let trained = Trained::new(2);
    let out = trained.path("out");
    let page = || {
        explain(&trained.model, &trained.data, &out, "--rows 0:12 --save npz --report --force").ends(0);
        fs::read_to_string(out.join("report.html")).unwrap()
    };
    let html = page();
    assert_eq!(html, page(), "the same command gives the same bytes");
    assert_eq!(
        files(&out).keys().collect::<Vec<_>>(),
        ["manifest.jsonl", "maps.npz", "report.html", "run.json"]
    );
    assert!(html.contains("Content-Security-Policy") && html.contains("default-src 'none'"));
    for fetched in ["src=\"http", "href=\"http", "@import", "<link rel=\"stylesheet"] {
        assert!(!html.contains(fetched), "{fetched}");
    }
    let hash = html.split_once("<dt>SHA-256</dt><dd>").unwrap().1;
    assert!(hash.chars().take(64).all(|c| c.is_ascii_hexdigit()), "{}", &hash[..70]);
    // The results of training are next to the model.
    for part in
        ["Learning curve: loss", "Where the model looks across the data set", "--report", "evidence for"]
    {
        assert!(html.contains(part), "{part}");
    }
    explain(&trained.model, &trained.data, &trained.path("none"), "--rows 0:2").ends(0);
    assert!(!trained.path("none").join("report.html").exists());
}
