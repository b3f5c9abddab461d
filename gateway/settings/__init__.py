"""One frozen ``Settings``; nothing else in the gateway reads the environment.

``model`` lists every setting; ``loading`` reads them from the environment, a TOML file and the
defaults; ``generated`` writes ``.env.example`` and the settings page from the same list.
"""

from gateway.settings.faults import Fault, SettingsError
from gateway.settings.loading import Reading, read
from gateway.settings.model import SPECS, Settings
from gateway.settings.spec import Spec

__all__ = ["SPECS", "Fault", "Reading", "Settings", "SettingsError", "Spec", "read"]
