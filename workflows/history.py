"""Short stories: what applications and configurations can go back to."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.configuration import ConfigurationActivities
    from activities.rollback import RollbackActivities
    from domain.configuration import CommitList, ProtectedConfiguration
    from domain.plans import Candidates
    from domain.rollback import ProtectedApplication
    from workflows.calls import short


@workflow.defn
class ListCandidatesWorkflow:
    """What ran, and what the registry keeps."""

    @workflow.run
    async def run(self, application: ProtectedApplication) -> Candidates:
        """Return both, newest first."""
        return await workflow.execute_activity_method(
            RollbackActivities.candidates,
            application,
            **short(application, "Read what ran, and what the registry keeps"),
        )


@workflow.defn
class ListCommitsWorkflow:
    """The commits of a configuration."""

    @workflow.run
    async def run(self, configuration: ProtectedConfiguration) -> CommitList:
        """Return the newest ones that touched it."""
        return await workflow.execute_activity_method(
            ConfigurationActivities.commits,
            configuration,
            **short(configuration, "Read the newest commits"),
        )
