// The links of the page's header: views of this page, of which one is shown at a time, and other pages of the server.
// The address says which view is shown: "#teach" is the view of that name, and "#result=…" belongs to the first one, as does
// no hash at all. Other hashes, such as that of the link that skips to the content, leave the view as it is.
import { make } from "./text.js";

export class Navigation {
  #views = [];

  /** element: the <nav>, which is hidden while there is one link only. */
  constructor(element) {
    this.element = element;
    this.shown = null; // the view
    addEventListener("hashchange", () => this.#show());
  }

  /** Adds a view of this page; the first one is shown unless the address says otherwise. onShow(): called whenever it is. */
  add(name, title, section, onShow = () => {}) {
    const link = this.#link(title, this.#views.length ? `#${name}` : "#");
    this.#views.push({ name, section, link, onShow });
    this.#show();
  }

  /** Adds a link to another page. */
  addPage(title, url) {
    this.#link(title, url);
  }

  #link(title, href) {
    const link = make("a", { href }, title);
    this.element.append(link);
    this.element.hidden = this.element.childElementCount < 2;
    return link;
  }

  #show() {
    const name = location.hash.slice(1).replace(/=.*/, "");
    const first = this.#views[0];
    const shown = this.#views.find((one) => one.name === name) ?? (!name || name === "result" ? first : (this.shown ?? first));
    if (shown === this.shown) return;
    this.shown = shown;
    for (const one of this.#views) {
      one.section.hidden = one !== shown;
      if (one === shown) one.link.setAttribute("aria-current", "page");
      else one.link.removeAttribute("aria-current");
    }
    shown.onShow();
  }
}
