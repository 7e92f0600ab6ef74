"""The JUnit format of Jenkins' ``junit-10.xsd``, limited to the parts that a writer needs."""

from __future__ import annotations

import re
from xml.etree import ElementTree

ANY = re.compile(r"(?s).*")
COUNT = re.compile(r"\d+")
SECONDS = re.compile(r"[0-9,]*(\.[0-9]*)?")

MESSAGE = {"type": ANY, "message": ANY}
# element -> (required attributes, optional attributes, children, True if it may contain text)
ELEMENTS = {
    "testsuites": (
        {},
        {"name": ANY, "time": SECONDS, "tests": COUNT, "failures": COUNT, "errors": COUNT},
        {"testsuite"},
        False,
    ),
    "testsuite": (
        {"name": ANY, "tests": COUNT, "failures": COUNT, "errors": COUNT},
        {
            "group": ANY, "time": SECONDS, "skipped": COUNT, "timestamp": ANY, "hostname": ANY,
            "id": ANY, "package": ANY, "file": ANY, "log": ANY, "url": ANY,
        },
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
        False,
    ),
    "testcase": (
        {"name": ANY},
        {"time": SECONDS, "classname": ANY, "group": ANY},
        {"skipped", "error", "failure", "system-out", "system-err"},
        False,
    ),
    "failure": ({}, MESSAGE, set(), True),
    "error": ({}, MESSAGE, set(), True),
    "skipped": ({}, MESSAGE, set(), True),
    "properties": ({}, {}, {"property"}, False),
    "property": ({"name": ANY, "value": ANY}, {}, set(), False),
    "system-out": ({}, {}, set(), True),
    "system-err": ({}, {}, set(), True),
}  # fmt: skip


def problems(text: str) -> list[str]:
    """Return the errors in a JUnit file: violations of the schema and wrong counts."""
    root = ElementTree.fromstring(text.encode())
    if root.tag not in ("testsuites", "testsuite"):
        return [f"the root is {root.tag}"]
    return _element(root) + _counts(root)


def _element(element: ElementTree.Element) -> list[str]:
    if element.tag not in ELEMENTS:
        return [f"there is no element {element.tag}"]
    required, optional, children, text = ELEMENTS[element.tag]
    allowed = required | optional
    errors = [f"{element.tag} lacks {name}" for name in required if name not in element.attrib]
    for name, value in element.attrib.items():
        if name not in allowed:
            errors.append(f"{element.tag} has no attribute {name}")
        elif not allowed[name].fullmatch(value):
            errors.append(f"{element.tag} {name}={value!r}")
    texts = [element.text, *(child.tail for child in element)]
    if not text and any((part or "").strip() for part in texts):
        errors.append(f"{element.tag} contains text")
    for child in element:
        if child.tag not in children:
            errors.append(f"{element.tag} must not contain {child.tag}")
        errors += _element(child)
    return errors


def _counts(root: ElementTree.Element) -> list[str]:
    errors = []
    for suite in root.iter():
        for attribute, path in (
            ("tests", ".//testcase"), ("failures", ".//failure"), ("errors", ".//error"),
        ):  # fmt: skip
            if attribute in suite.attrib:
                count = len(suite.findall(path))
                if int(suite.attrib[attribute]) != count:
                    errors.append(f"{suite.tag} {attribute}={suite.attrib[attribute]}, not {count}")
    return errors
