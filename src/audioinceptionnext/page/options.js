// What the lists of comboboxes share: the option that Enter takes, which the input keeps the focus for.

/** Marks an option in place of the one at `before`; -1 stands for none. Returns its index. */
export function markOption(input, list, before, index) {
  list.children[before]?.classList.remove("active");
  const option = list.children[index];
  option?.classList.add("active");
  option?.scrollIntoView({ block: "nearest" });
  if (option) input.setAttribute("aria-activedescendant", option.id);
  else input.removeAttribute("aria-activedescendant");
  return index;
}

/** The option that an arrow key leads to, among so many and around their ends. */
export function nextOption(key, active, count) {
  return key === "ArrowDown" ? (active + 1) % count : (Math.max(active, 0) + count - 1) % count;
}
