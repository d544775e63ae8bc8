"""What makes each cloud's SDK talk to a simulator: the SDK's own settings, and made-up credentials."""

from collections.abc import Mapping

PROJECT = "11111111-1111-1111-1111-111111111111"


def reached_at(url: str) -> Mapping[str, str]:
    """Return the environment variables of a process whose SDKs should reach `url`."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "simulated",
        "AWS_SECRET_ACCESS_KEY": "simulated",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_SQL": f"{url}/",
        "AZURE_RESOURCE_MANAGER_ENDPOINT": url,
        "SCW_API_URL": url,
        "SCW_ACCESS_KEY": "SCW00000000000000000",
        "SCW_SECRET_KEY": PROJECT,
        "SCW_DEFAULT_PROJECT_ID": PROJECT,
    }
