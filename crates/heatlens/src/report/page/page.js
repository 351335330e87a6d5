"use strict";
(() => {
  const cards = [...document.querySelectorAll(".card")];
  const grid = document.getElementById("cards");
  const control = (id) => document.getElementById(id);
  document.documentElement.classList.add("scripted");

  const setFade = (card, value) => {
    card.style.setProperty("--t", value / 100);
    card.querySelector(".fade input").value = value;
  };
  control("fade")?.addEventListener("input", (event) => cards.forEach((card) => setFade(card, event.target.value)));
  cards.forEach((card) => {
    card.querySelector(".fade input").addEventListener("input", (event) => setFade(card, event.target.value));
  });

  // Without a number an image comes last, whatever the order.
  const number = (text) => (text === "" ? Infinity : Number(text));
  const orders = {
    order: (card) => 0,
    errors: (card) => number(card.dataset.right),
    faith: (card) => number(card.dataset.faith),
    unsure: (card) => number(card.dataset.sure),
  };
  const compare = (a, b) => (a === b ? 0 : a < b ? -1 : 1);

  const arrange = () => {
    const key = orders[control("sort")?.value ?? "order"];
    const outcome = control("outcome")?.value ?? "";
    const wanted = control("class")?.value ?? "";
    const shown = (card) =>
      (outcome === "" || card.dataset.right === outcome) &&
      (wanted === "" || card.dataset.label === wanted || card.dataset.predicted === wanted);
    const sorted = [...cards].sort((a, b) => compare(key(a), key(b)) || a.dataset.order - b.dataset.order);
    sorted.forEach((card) => { card.hidden = !shown(card); });
    grid.append(...sorted);
    const count = cards.filter((card) => !card.hidden).length;
    control("count").textContent = count;
    document.querySelector(".none").hidden = count > 0;
  };
  ["sort", "outcome", "class"].forEach((id) => control(id)?.addEventListener("change", arrange));

  control("map")?.addEventListener("change", (event) => {
    document.querySelectorAll(".card [data-map]").forEach((part) => {
      part.hidden = part.dataset.map !== event.target.value;
    });
  });
  document.querySelector(".controls")?.addEventListener("submit", (event) => event.preventDefault());
  // A browser that keeps what was chosen before a reload must show it, too.
  ["sort", "map"].forEach((id) => control(id)?.dispatchEvent(new Event("change")));
  control("fade")?.dispatchEvent(new Event("input"));
})();
