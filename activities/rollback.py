"""The steps of an application's rollback, over its platform and the registry of its image."""

from collections.abc import Mapping

from activities.errors import step
from activities.waiting import DEFAULT_PATIENCE, quick_at_first, within_patience
from domain.checks import Finding
from domain.errors import ImageMissingError, UnsupportedResourceError
from domain.plans import Candidates
from domain.platforms import ApplicationPlatform, ImageRegistry
from domain.rollback import (
    Applied,
    Change,
    Choice,
    Image,
    ProtectedApplication,
    Revision,
    RollbackKind,
    RollbackRequest,
    choose,
    current_of,
)
from domain.values import Value


class Chosen(Value):
    """What a target means on the platform now."""

    current: Revision | None
    choice: Choice
    image: Image
    version: str


class OnApplication(Value):
    """Act on an application; `key` makes asking twice harmless."""

    application: ProtectedApplication
    change: Change
    key: str = ""


class RollbackActivities:
    """Brings an image back by its digest."""

    def __init__(
        self, platforms: Mapping[str, ApplicationPlatform], registry: ImageRegistry | None
    ) -> None:
        self._platforms, self._images = platforms, registry

    def _registry(self) -> ImageRegistry:
        if self._images is None:
            raise UnsupportedResourceError(
                "this worker's catalog has no application, so it knows no registry; start it with "
                "the catalog that has it"
            )
        return self._images

    def _of(self, application: ProtectedApplication) -> ApplicationPlatform:
        kind = application.platform.kind
        if kind not in self._platforms:
            raise UnsupportedResourceError(
                f"{application.path}: its worker reaches no platform of kind {kind}; start one that "
                f"has it, with: pip install 'refloat[{kind}]'"
            )
        return self._platforms[kind]

    @step("rollback.candidates")
    def candidates(self, application: ProtectedApplication) -> Candidates:
        """Return what the application can go back to."""
        ran = tuple(self._of(application).history(application))
        try:
            images = tuple(self._registry().images(application.image))
        except ImageMissingError as error:
            return Candidates(ran=ran, problem=str(error))
        return Candidates(ran=ran, images=images)

    @step("rollback.choose")
    def choose(self, request: RollbackRequest) -> Chosen:
        """Return what the target means, by digest, or refuse with offers."""
        application, target = request.resource, request.target
        platform = self._of(application)
        version = platform.version(application)
        history = platform.history(application)
        named = self._named(application, target.reference)
        choice = choose(application.path, history, target, named)
        if target.kind is not RollbackKind.REFERENCE and choice.revision is not None:
            tag = choice.revision.main.written.partition("@")[0].rpartition("/")[2]
            named = self._named(application, tag.partition(":")[2])
            choice = choose(application.path, history, target, named)
        try:
            image = self._registry().find(application.image, choice.digest)
        except ImageMissingError:  # the pre-flight tells it beside everything else
            image = Image(repository=application.image, digest=choice.digest)
        return Chosen(current=current_of(history), choice=choice, image=image, version=version)

    def _named(self, application: ProtectedApplication, reference: str) -> Image | None:
        if not reference:
            return None
        try:
            return self._registry().find(application.image, reference)
        except ImageMissingError:
            return None

    @step("rollback.examine")
    def examine(self, on: OnApplication) -> list[Finding]:
        """Return every precondition: the image whole, rights, nobody else at it."""
        return [
            *self._registry().examine(on.change.image, on.change.digest),
            *self._of(on.application).examine(on.application, on.change),
        ]

    @step("rollback.declared_schema")
    def declared_schema(self, on: OnApplication) -> str:
        """Return the schema version that an image says it works with, or nothing."""
        schema, change = on.application.data_schema, on.change
        try:
            image = self._registry().find(change.image, change.digest)
        except ImageMissingError:
            image = Image(repository=change.image, digest=change.digest)
        names = [change.digest, image.commit, *image.tags]
        declared = schema.versions if schema else {}
        return next((declared[name] for name in names if name in declared), image.schema_version)

    @step("rollback.apply")
    def apply(self, on: OnApplication) -> Applied:
        """Make the change what runs; one rollout for each key."""
        return self._of(on.application).apply(on.application, on.change, key=on.key)

    @step("rollback.await_rollout")
    def await_rollout(self, on: OnApplication) -> str:
        """Return once everything runs the change; not yet is a failure that Temporal repeats."""
        platform = self._of(on.application)
        return quick_at_first(lambda: platform.poll_rollout(on.application, on.change))

    @step("rollback.await_healthy")
    def await_healthy(self, application: ProtectedApplication) -> str:
        """Return once the application says that it works, in the time the catalog allows."""
        within = application.health.within if application.health else DEFAULT_PATIENCE
        platform = self._of(application)
        return within_patience(
            application.path, within, lambda: platform.require_healthy(application)
        )

    @step("rollback.protect")
    def protect(self, on: OnApplication) -> str:
        """Keep the image from being deleted, where the registry can."""
        return self._registry().protect(on.change.image, on.change.digest)
