"""Whether an image is whole: its manifest, and every blob that the manifest names."""

from collections.abc import Iterator, Sequence

from domain.checks import Finding, Verdict
from domain.values import show_bytes
from providers.oci.client import OciClient, in_parallel
from providers.oci.manifests import INDEXES, Blob, Child, Manifest

_AGAIN = (
    "push it again from where it is still kept, such as another registry or a node that has it; a "
    "rebuild has another digest"
)
_SHOWN = 3


def parts_of(client: OciClient, digest: str) -> Iterator[Finding]:
    """Yield one finding about the manifest, and one about the blobs of each platform."""
    manifest = client.manifest(digest)
    yield _manifest(client, digest, manifest)
    if manifest is None or manifest.digest != digest or not manifest.known:
        return
    if manifest.media_type not in INDEXES:
        yield _blobs(client, "the image's parts", manifest)
        return
    images = manifest.images
    if not images:
        yield finding("the image's parts", "an image for a platform", "the index names none", "")
    for child in images:
        # which platforms the nodes have is not known here; without this machine's, nothing is sure
        yield _child(client, child, matters=child is images[0])


def finding(name: str, expected: str, problem: str, good: str, advice: str = _AGAIN) -> Finding:
    """Return a finding that failed where there is a problem."""
    return Finding(
        name=name,
        kind="image",
        expected=expected,
        observed=problem or good,
        verdict=Verdict.FAILED if problem else Verdict.PASSED,
        advice=advice if problem else "",
    )


def _manifest(client: OciClient, digest: str, manifest: Manifest | None) -> Finding:
    problem = ""
    if manifest is None:
        problem = f"the registry has no manifest {digest}"
    elif manifest.digest != digest:
        problem = f"the bytes under it are those of {manifest.digest}"
    elif not manifest.known:
        problem = f"its format is not read: {manifest.media_type or 'none'}"
    good = f"there, {len(manifest.body)} bytes of this digest" if manifest else ""
    return finding("the image's manifest", f"{digest} in {client.place}", problem, good)


def _child(client: OciClient, child: Child, *, matters: bool) -> Finding:
    name = f"the image's parts for {child.told}"
    manifest = client.manifest(child.digest)
    if manifest is not None and manifest.digest == child.digest:
        seen = _blobs(client, name, manifest)
    else:
        there = "has no manifest" if manifest is None else "has other bytes under"
        seen = finding(name, "its manifest", f"the registry {there} {child.digest}", "")
    if matters or seen.verdict is Verdict.PASSED:
        return seen
    advice = f"no matter where no node is {child.told}; else {seen.advice}"
    return seen.model_copy(update={"verdict": Verdict.UNPROVEN, "advice": advice})


def _blobs(client: OciClient, name: str, manifest: Manifest) -> Finding:
    parts = manifest.parts
    sizes = in_parallel(client.size_of, parts)
    wrong = [
        _wrong(manifest, part, size)
        for part, size in zip(parts, sizes, strict=True)
        if size != part.size
    ]
    total = show_bytes(sum(part.size for part in parts))
    if not parts:
        wrong = ["the manifest names no configuration and no layer"]
    return finding(
        name,
        f"a configuration and {len(manifest.layers)} layers, {total}",
        _some(wrong),
        f"all {len(parts)} there, {total}",
    )


def _wrong(manifest: Manifest, part: Blob, size: int | None) -> str:
    what = "configuration" if part == manifest.config else "layer"
    if size is None:
        return f"{what} {part.digest} is missing ({show_bytes(part.size)})"
    return f"{what} {part.digest} has {size} bytes, not {part.size}"


def _some(wrong: Sequence[str]) -> str:
    more = f", and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    return "; ".join(wrong[:_SHOWN]) + more
