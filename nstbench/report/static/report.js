"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const el = (tag, props = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), props);
    node.append(...children);
    return node;
  };

  document.documentElement.classList.add("scripted");
  $$(".needs-script").forEach((node) => { if (node.id !== "selection") node.hidden = false; });

  /* State lives in the part of the address after "#/", so a link reopens the same view. */
  const state = {
    values: new URLSearchParams(),
    listeners: [],
    read() {
      const hash = location.hash;
      this.values = new URLSearchParams(hash.startsWith("#/") ? hash.slice(2) : "");
    },
    get(key, fallback = "") { return this.values.get(key) ?? fallback; },
    list(key) { return this.get(key).split("~").filter(Boolean).map(decodeURIComponent); },
    set(key, value, fallback = "") {
      const text = Array.isArray(value) ? value.map(encodeURIComponent).join("~") : String(value);
      if (text === String(fallback)) this.values.delete(key); else this.values.set(key, text);
      const query = this.values.toString();
      history.replaceState(null, "", query ? `#/${query}` : location.pathname + location.search);
    },
    restored(callback) { this.listeners.push(callback); callback(); },
  };
  state.read();
  addEventListener("hashchange", () => {
    if (location.hash && !location.hash.startsWith("#/")) return;
    state.read();
    state.listeners.forEach((callback) => callback());
  });

  /* Theme */
  const theme = $("#theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
  const paintTheme = () => {
    const chosen = state.get("theme");
    if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
    else delete document.documentElement.dataset.theme;
    theme.textContent = isDark() ? "Light mode" : "Dark mode";
  };
  theme.addEventListener("click", () => { state.set("theme", isDark() ? "light" : "dark"); paintTheme(); });
  dark.addEventListener("change", paintTheme);
  state.restored(paintTheme);

  /* Section links keep the state in the address. */
  const links = $$(".bar-top li a");
  const goTo = (id, smooth) => {
    const section = document.getElementById(id);
    if (!section) return;
    section.scrollIntoView({ behavior: smooth ? "smooth" : "instant" });
    const head = $("h2", section);
    head.tabIndex = -1;
    head.focus({ preventScroll: true });
  };
  links.forEach((link) => link.addEventListener("click", (event) => {
    event.preventDefault();
    const id = link.getAttribute("href").slice(1);
    state.set("at", id);
    goTo(id, !matchMedia("(prefers-reduced-motion: reduce)").matches);
  }));
  if ("IntersectionObserver" in window) {
    const watch = new IntersectionObserver((entries) => entries.forEach((entry) => {
      if (!entry.isIntersecting) return;
      links.forEach((link) => {
        if (link.getAttribute("href") === `#${entry.target.id}`) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      });
    }), { rootMargin: "-20% 0px -70% 0px" });
    $$("main > section").forEach((section) => watch.observe(section));
  }

  /* Tooltips of charts, on hover and on keyboard focus */
  const tip = $("#tip");
  const marks = $$(".chart .mark");
  const placeTip = (mark) => {
    tip.textContent = mark.dataset.tip;
    tip.hidden = false;
    const box = mark.getBoundingClientRect();
    const own = tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, box.left + box.width / 2 - own.width / 2), innerWidth - own.width - 8);
    const above = box.top - own.height - 8;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 56 ? above : box.bottom + 8}px`;
  };
  const hideTip = () => { tip.hidden = true; };
  marks.forEach((mark) => {
    $("title", mark)?.remove();
    mark.addEventListener("pointerenter", () => placeTip(mark));
    mark.addEventListener("pointerleave", hideTip);
    mark.addEventListener("focus", () => placeTip(mark));
    mark.addEventListener("blur", hideTip);
  });
  addEventListener("scroll", hideTip, { passive: true });
  addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });

  /* Selection: a click on a mark restricts the page to that method. */
  const names = new Map();
  $$("#board .entry").forEach((entry) => names.set(entry.dataset.method, $(".name", entry).title));
  const selected = new Set();
  const followers = [];
  const banner = $("#selection");
  const paintSelection = () => {
    const any = selected.size > 0;
    $$(".chart [data-method]").forEach((node) => {
      const id = node.dataset.method;
      node.classList.toggle("dim", any && id !== "" && !selected.has(id));
      node.classList.toggle("selected", selected.has(id));
      if (id && node.matches(".mark")) node.setAttribute("aria-pressed", selected.has(id));
    });
    $$("#board .entry, .card[data-method]").forEach((entry) => entry.classList.toggle("selected", selected.has(entry.dataset.method)));
    banner.hidden = !any;
    banner.replaceChildren();
    if (any) {
      const all = el("button", { type: "button", textContent: "Show all" });
      all.addEventListener("click", () => { selected.clear(); selectionChanged(); });
      const shown = [...selected].map((id) => names.get(id) ?? id).map((n) => (n.length > 40 ? `${n.slice(0, 39)}…` : n));
      banner.append(`Showing only ${shown.join(", ")}`, all);
    }
    followers.forEach((follow) => follow());
  };
  const selectionChanged = () => { state.set("only", [...selected]); paintSelection(); };
  marks.filter((mark) => mark.dataset.method).forEach((mark) => {
    mark.setAttribute("role", "button");
    const toggle = () => {
      const id = mark.dataset.method;
      if (!selected.delete(id)) selected.add(id);
      selectionChanged();
    };
    mark.addEventListener("click", toggle);
    mark.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); toggle(); }
    });
  });

  /* Leaderboard: sort, filter, columns, rows that expand */
  const board = $("#board");
  if (board) {
    const heads = $$("thead th", board).slice(0, $$("thead tr:first-child > th", board).length);
    const entries = $$(".entry", board);
    const filter = $("#board-filter");
    const baselines = $("#board-baselines");
    const boxes = $$("#board-columns input");
    const count = $("#board-count");

    const keyOf = (entry, index, kind) => {
      const cell = entry.rows[0].cells[index];
      if (kind === "text") return cell.textContent.trim().toLowerCase();
      return cell.dataset.value === "" || isNaN(cell.dataset.value) ? null : Number(cell.dataset.value);
    };
    const sortBy = (key, direction) => {
      const index = heads.findIndex((head) => head.dataset.key === key);
      if (index < 0) return;
      heads.forEach((head) => head.removeAttribute("aria-sort"));
      heads[index].setAttribute("aria-sort", direction);
      const sign = direction === "ascending" ? 1 : -1;
      const kind = heads[index].dataset.kind;
      const keyed = entries.map((entry, place) => ({ entry, place, key: keyOf(entry, index, kind) }));
      keyed.sort((a, b) => {
        if (a.key === null || b.key === null) return (a.key === null) - (b.key === null) || a.place - b.place;
        return (a.key < b.key ? -1 : a.key > b.key ? 1 : 0) * sign || a.place - b.place;
      });
      const groups = $$(".group", board);
      keyed.filter((k) => k.entry.dataset.group === "methods").forEach((k) => {
        if (groups.length) groups[0].before(k.entry); else board.append(k.entry);
      });
      keyed.filter((k) => k.entry.dataset.group !== "methods").forEach((k) => board.append(k.entry));
    };
    const sortFromState = () => {
      const [key, direction] = state.list("sort");
      sortBy(key || "rank", direction === "descending" ? "descending" : "ascending");
    };
    heads.forEach((head) => {
      const button = el("button", { type: "button" });
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        const next = !now ? head.dataset.first : now === "ascending" ? "descending" : "ascending";
        const text = [head.dataset.key, next];
        state.set("sort", text[0] === "rank" && next === "ascending" ? "" : text);
        sortBy(...text);
      });
    });

    const apply = () => {
      const words = filter.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      entries.forEach((entry) => {
        const row = entry.rows[0];
        const text = `${row.cells[1].title} ${row.cells[2].textContent}`.toLowerCase();
        const hit = words.every((word) => text.includes(word))
          && (baselines.checked || entry.dataset.group !== "baselines")
          && (!selected.size || selected.has(entry.dataset.method));
        entry.hidden = !hit;
        shown += hit;
      });
      $$(".group", board).forEach((group) => {
        group.hidden = !entries.some((entry) => entry.dataset.group === "baselines" && !entry.hidden);
      });
      count.textContent = shown === entries.length ? "" : `${shown} of ${entries.length} rows`;
    };
    followers.push(apply);
    filter.addEventListener("input", () => { state.set("q", filter.value); apply(); });
    baselines.addEventListener("change", () => { state.set("base", baselines.checked ? 1 : 0, 1); apply(); });

    const paintColumns = () => {
      const off = new Set(boxes.filter((box) => !box.checked).map((box) => box.value));
      $$("[data-column]", board).forEach((cell) => { cell.hidden = off.has(cell.dataset.column); });
    };
    const usual = boxes.filter((box) => box.dataset.default === "1").map((box) => box.dataset.key);
    boxes.forEach((box) => box.addEventListener("change", () => {
      const on = boxes.filter((b) => b.checked).map((b) => b.dataset.key);
      state.set("cols", on.length ? on : ["-"], usual.map(encodeURIComponent).join("~"));
      paintColumns();
    }));

    const setOpen = (entry, open) => {
      const detail = $(".detail", entry);
      if (!detail) return;
      detail.hidden = !open;
      $("details", detail).open = open;
      $(".expand", entry).setAttribute("aria-expanded", open);
    };
    const idOf = (entry) => `${entry.dataset.method}.${entry.dataset.size}`;
    entries.forEach((entry) => {
      if (!$(".detail", entry)) return;
      const label = $(".method", entry);
      const button = el("button", { type: "button", className: "expand" });
      label.replaceWith(button);
      button.append(label);
      button.addEventListener("click", () => {
        setOpen(entry, button.getAttribute("aria-expanded") !== "true");
        state.set("open", entries.filter((e) => $(".expand[aria-expanded=true]", e)).map(idOf));
      });
    });

    state.restored(() => {
      filter.value = state.get("q");
      baselines.checked = state.get("base", "1") === "1";
      const on = state.get("cols") ? state.list("cols") : usual;
      boxes.forEach((box) => { box.checked = on.includes(box.dataset.key); });
      const open = state.list("open");
      entries.forEach((entry) => setOpen(entry, open.includes(idOf(entry))));
      sortFromState();
      paintColumns();
      apply();
    });
  }

  /* Pictures: each is in the page once, in an <img> or in the store */
  const store = JSON.parse($("#picture-store")?.textContent || "{}");
  $$("img[data-picture]").forEach((img) => { if (img.getAttribute("src")) store[img.dataset.picture] = img.getAttribute("src"); });

  /* Gallery */
  const picker = $("#gallery-picker");
  if (picker) {
    const outputs = new Map();
    $$("i", $("#gallery-outputs").content).forEach((node) => {
      const key = JSON.stringify([node.dataset.content, node.dataset.style]);
      if (!outputs.has(key)) outputs.set(key, new Map());
      const maps = Object.fromEntries($$("b", node).map((map) => [map.dataset.kind, map.dataset.picture]));
      outputs.get(key).set(node.dataset.method, { ...node.dataset, maps });
    });
    const content = $("#gallery-content");
    const style = $("#gallery-style");
    const blind = $("#gallery-blind");
    const view = $("#gallery-view");
    const grid = $("#gallery-grid");
    const boxes = $$("#gallery-methods input");
    const order = boxes.map((box) => box.value);
    const revealed = new Set();
    const sides = [$("#compare-left"), $("#compare-right")];
    const imgs = [$("#compare-a"), $("#compare-b")];
    const position = $("#compare-position");
    const difference = $("#compare-difference");
    const frame = $("#compare");

    const made = () => outputs.get(JSON.stringify([content.value, style.value])) ?? new Map();
    const shownMethods = () => order.filter((id, i) => boxes[i].checked && made().has(id) && (!selected.size || selected.has(id)));
    const shuffled = (ids) => {
      /* the order depends on the pair only, so that a link in blind mode can be shared */
      const weigh = (id) => [...`${id}|${content.value}|${style.value}`].reduce((h, c) => Math.imul(h ^ c.codePointAt(0), 16777619) >>> 0, 2166136261);
      return [...ids].sort((a, b) => weigh(a) - weigh(b));
    };
    /* outputs without a map of the chosen kind are shown instead */
    const pictureOf = (data) => (view && data.maps[view.value]) || data.picture;
    const figure = (path, alt, caption, css = "") => {
      const source = store[path];
      const shown = source ? el("button", { type: "button", className: "enlarge" }, el("img", { alt, loading: source.startsWith("data:") ? "eager" : "lazy", src: source }))
        : el("div", { className: "absent", textContent: path ? "not in this page" : "no output" });
      return el("figure", { className: `picture ${css}` }, shown, el("figcaption", {}, ...caption));
    };
    /* One picture at its full size; the arrow keys step through the pair, in place. */
    const zoom = $("#zoom");
    let zoomed = 0;
    const enlarge = (index) => {
      const imgs = $$(".enlarge img", grid);
      zoomed = (index + imgs.length) % imgs.length;
      const { src, alt, naturalWidth: w, naturalHeight: h } = imgs[zoomed];
      Object.assign($("img", zoom), { src, alt });
      $("#zoom-text").textContent = `${alt.length > 80 ? `${alt.slice(0, 79)}…` : alt}${w ? `, ${w} × ${h} px` : ""}`;
      if (!zoom.open) zoom.showModal();
    };
    grid.addEventListener("click", (event) => {
      const button = event.target.closest(".enlarge");
      if (button) enlarge($$(".enlarge", grid).indexOf(button));
    });
    zoom.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step) { event.preventDefault(); enlarge(zoomed + step); }
    });
    $("#zoom-back").addEventListener("click", () => enlarge(zoomed - 1));
    $("#zoom-on").addEventListener("click", () => enlarge(zoomed + 1));
    $("#zoom-close").addEventListener("click", () => zoom.close());
    zoom.addEventListener("click", (event) => { if (event.target === zoom) zoom.close(); });
    zoom.addEventListener("close", () => $$(".enlarge", grid)[zoomed]?.focus());
    const named = (text) => el("span", { dir: "auto", textContent: text.length > 60 ? `${text.slice(0, 59)}…` : text });
    const letterOf = (i) => `Output ${String.fromCodePoint(65 + (i % 26))}${i > 25 ? Math.floor(i / 26) : ""}`;
    const outputFigure = (id, i) => {
      const data = made().get(id);
      const hidden = blind.checked && !revealed.has(id);
      const letter = letterOf(i);
      if (hidden) {
        const button = el("button", { type: "button", className: "reveal", textContent: `${letter}: reveal` });
        button.addEventListener("click", () => { revealed.add(id); draw(); $("#gallery-grid .revealed-last button")?.focus(); });
        return figure(pictureOf(data), letter, [button]);
      }
      const note = data.status === "done" ? data.text : data.status;
      return figure(pictureOf(data), `${view?.value ? `Map of the ${view.value} error of` : "Output of"} ${data.label}`, [named(data.label), el("span", { className: "note", textContent: note })]);
    };
    const draw = () => {
      const ids = blind.checked ? shuffled(shownMethods()) : shownMethods();
      const inputs = [[content, "Content"], [style, "Style"]].map(([select, role]) => {
        const option = select.selectedOptions[0];
        return figure(option?.dataset.picture, `${role}: ${select.value}`, [role, el("span", { className: "note" }, named(select.value))], "input");
      });
      grid.replaceChildren(...inputs, ...ids.map(outputFigure));
      drawChoices(ids);
      compare();
    };
    const drawChoices = (ids) => {
      const list = [["content", "Content"], ["style", "Style"], ...ids.map((id, i) => [id, blind.checked && !revealed.has(id) ? letterOf(i) : made().get(id).label])];
      sides.forEach((side, n) => {
        const wanted = state.get(n ? "right" : "left") || (n ? ids[0] ?? "style" : "content");
        side.replaceChildren(...list.map(([value, label]) => el("option", { value, textContent: label.length > 40 ? `${label.slice(0, 39)}…` : label })));
        side.value = list.some(([value]) => value === wanted) ? wanted : list[n ? Math.min(2, list.length - 1) : 0][0];
      });
    };
    const compare = () => {
      sides.forEach((side, n) => {
        const select = { content, style }[side.value];
        const path = select ? select.selectedOptions[0]?.dataset.picture : made().get(side.value)?.picture;
        imgs[n].src = store[path] ?? "data:,";
        imgs[n].hidden = !store[path];
        imgs[n].alt = side.selectedOptions[0]?.textContent ?? "";
      });
      split();
    };
    const split = () => {
      imgs[1].style.clipPath = `inset(0 0 0 ${position.value}%)`;
      $("#compare-handle").style.left = `${position.value}%`;
      frame.classList.toggle("difference", difference.checked);
      position.setAttribute("aria-valuetext", `${position.value} % left picture`);
    };
    imgs[0].addEventListener("load", () => {
      if (imgs[0].naturalHeight) frame.style.aspectRatio = `${imgs[0].naturalWidth} / ${imgs[0].naturalHeight}`;
    });
    const choose = (c, s) => {
      content.value = c;
      style.value = s;
      revealed.clear();
      state.set("pair", [c, s]);
      draw();
    };
    [content, style].forEach((select) => select.addEventListener("change", () => choose(content.value, style.value)));
    $("#gallery-next").addEventListener("click", () => {
      const keys = [...outputs.keys()];
      const next = keys[(keys.indexOf(JSON.stringify([content.value, style.value])) + 1) % keys.length];
      choose(...JSON.parse(next));
    });
    $$(".pair-link").forEach((button) => {
      button.disabled = false;
      button.addEventListener("click", () => {
        choose(button.dataset.content, button.dataset.style);
        picker.scrollIntoView({ block: "start", behavior: "smooth" });
      });
    });
    view?.addEventListener("change", () => { state.set("maps", view.value); draw(); });
    blind.addEventListener("change", () => { revealed.clear(); state.set("blind", blind.checked ? 1 : 0, 0); draw(); });
    boxes.forEach((box) => box.addEventListener("change", () => { state.set("without", boxes.filter((b) => !b.checked).map((b) => b.value)); draw(); }));
    sides.forEach((side, n) => side.addEventListener("change", () => { state.set(n ? "right" : "left", side.value); compare(); }));
    position.addEventListener("input", split);
    position.addEventListener("change", () => state.set("pos", position.value, 50));
    difference.addEventListener("change", () => { state.set("diff", difference.checked ? 1 : 0, 0); split(); });
    followers.push(draw);
    state.restored(() => {
      const first = $(".pair-link");
      const [c, s] = state.get("pair") ? state.list("pair") : [first?.dataset.content, first?.dataset.style];
      if (outputs.has(JSON.stringify([c, s]))) { content.value = c; style.value = s; }
      blind.checked = state.get("blind") === "1";
      if (view) view.value = state.get("maps");
      difference.checked = state.get("diff") === "1";
      position.value = state.get("pos", "50");
      const without = state.list("without");
      boxes.forEach((box) => { box.checked = !without.includes(box.value); });
      draw();
    });
  }

  state.restored(() => {
    selected.clear();
    state.list("only").filter((id) => names.has(id)).forEach((id) => selected.add(id));
    paintSelection();
  });
  if (state.get("at")) goTo(state.get("at"), false);
})();
