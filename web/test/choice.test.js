import assert from "node:assert/strict";
import { test } from "node:test";
import { Choice, only } from "../../src/audioinceptionnext/page/choice.js";
import { countShown } from "../../src/audioinceptionnext/page/text.js";
import { fixtures } from "./fixtures.js";

const { model, cases } = fixtures("labels").json("labels.json");
const KITCHEN = { labels: ["wok", "tap"], groups: {} };

function choice(query, of = model) {
  const made = new Choice(new URLSearchParams(query));
  made.setModel(of);
  return made;
}

test("an address chooses the labels that Python chooses", () => {
  for (const { labels, ignore, chosen } of cases) {
    const given = Object.entries({ labels, ignore }).filter(([, text]) => text !== null);
    const found = [...choice(given).labels];
    assert.deepEqual(
      model.labels.filter((label) => found.includes(label)),
      chosen,
      `${labels} without ${ignore}`,
    );
  }
});

test("the address that is written leads to the same choice", () => {
  const written = choice("");
  const offer = (name) => written.offers.find((one) => one.name === name);
  written.toggle("labels", offer("group:Animal"));
  written.toggle("labels", offer("Waves, surf"));
  written.toggle("ignore", offer("Dog"));
  assert.equal(written.query, "?labels=group:Animal,Waves,+surf&ignore=Dog");
  assert.deepEqual([...written.labels], ["Cat", "Waves, surf"]);
  assert.deepEqual([...choice(written.query).labels], ["Cat", "Waves, surf"]);
  written.toggle("labels", offer("Dog")); // wanted after all, so it is not left out any more
  assert.deepEqual(new Set(written.labels), new Set(["Dog", "Cat", "Waves, surf"]));
  for (const name of ["group:Animal", "Waves, surf", "Dog"]) written.toggle("labels", offer(name));
  assert.equal(written.query, "");
  assert.deepEqual([...written.labels], model.labels);
});

test("names that one model lacks are kept for another", () => {
  const kept = choice("labels=Waves, surf,group:Animal", KITCHEN);
  assert.deepEqual([...kept.labels], KITCHEN.labels);
  assert.deepEqual(kept.chosen("labels"), []);
  kept.setModel(model);
  assert.deepEqual([...kept.labels], ["Waves, surf", "Dog", "Cat"]);
});

test("a list is split anew for each model", () => {
  const sea = { labels: ["Waves", "Dog"], groups: {} }; // in which "surf" is a name of its own, and unknown
  const kept = choice("labels=Waves, surf,wok,gr*&ignore=nothing", sea);
  assert.deepEqual([[...kept.labels], kept.unknown], [["Waves"], ["surf", "wok", "gr*", "nothing"]]);
  kept.toggle("labels", kept.offers[1]);
  kept.setModel(model);
  assert.deepEqual([...kept.labels], ["Waves, surf", "Dog"]);
  assert.deepEqual(kept.unknown, ["wok", "gr*", "nothing"]);
  kept.setModel(sea);
  assert.deepEqual([...kept.labels], ["Waves", "Dog"]);
});

test("brackets are letters of a name, not a pattern", () => {
  assert.deepEqual(choice("labels=[DC]og,[DC]*").unknown, ["[DC]og", "[DC]*"]);
  assert.deepEqual([...choice("labels=[d*", { labels: ["[Dog]", "Dog"] }).labels], ["[Dog]"]);
});

test("a result with some labels has the best five of them", () => {
  const labels = ["a", "b", "c", "d", "e", "f", "g"];
  const clip = labels.map((label, rank) => ({ label, score: 0.9 - rank / 10 }));
  const segments = labels.map((label, place) => ({ label, start: place, end: place + 2, score: 0.5 }));
  const found = only({ file: "x.wav", clip, segments }, new Set(["b", "c", "d", "e", "f", "g"]));
  assert.deepEqual([found.file, found.clip.map((one) => one.label).join("")], ["x.wav", "bcdef"]);
  assert.deepEqual(found.segments, segments.slice(1));
});

test("a result of several tasks has the best five of each", () => {
  const clip = ["verb", "noun"].flatMap((task) => [..."abcdefg"].map((letter) => ({ label: `${task} ${letter}`, score: 0.1, task })));
  const all = clip.map(({ label }) => label);
  const found = only({ clip, segments: [] }, new Set(all.filter((label) => label !== "noun a")));
  assert.deepEqual(found.clip.map((one) => one.label).join(), [...all.slice(0, 5), ...all.slice(8, 13)].join());
});

test("the status says in whole words how many segments are shown", () => {
  const texts = [countShown(2, 1040), countShown(0, 1), countShown(3, 3), countShown(1, 1), countShown(0, 0)];
  const wanted = ["2 of 1,040 segments shown.", "0 of 1 segment shown.", "All 3 segments shown.", "1 segment.", "0 segments."];
  assert.deepEqual(texts, wanted);
});
