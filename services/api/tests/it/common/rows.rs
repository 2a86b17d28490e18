//! A site with read models.

use super::{Instance, Site, project};
use testkit::{Database, until};

/// A site with read models, and an instance that reads them.
pub struct Rows {
    pub site: Site,
    pub database: Database,
    pub api: Instance,
}

impl Rows {
    pub async fn start() -> Self {
        let site = Site::start().await;
        let database = Database::start().await;
        let api = site.instance(&[("DATABASE_URL", &database.server.url())]).await;
        until("the read models answer", async || api.get("/readyz").await.json()["postgres"] == "ok").await;
        Self { site, database, api }
    }

    /// Brings the rows to the end of the ledger.
    pub async fn project(&self) {
        project(&self.site.ledger, &self.database.store).await;
    }
}
