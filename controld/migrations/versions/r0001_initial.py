"""The first schema.

A migration is history: it states its tables by itself and is never edited once released.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
APPEND_ONLY = ("audit", "audit_heads")
"""For everybody who goes through SQL."""


def upgrade() -> None:
    _create_tables()
    _create_fleet_tables()
    make = {"sqlite": _guard_sqlite, "postgresql": _guard_postgresql}[op.get_bind().dialect.name]
    make()


def downgrade() -> None:
    raise NotImplementedError("restore the backup made before the upgrade")


def _guard_sqlite() -> None:
    for table in APPEND_ONLY:
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                "BEGIN SELECT RAISE(ABORT, 'the audit record cannot be changed'); END"
            )


def _guard_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit record cannot be changed'; END $$"
    )
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def _create_tables() -> None:
    op.create_table(
        "enrolments",
        sa.Column("code_digest", sa.LargeBinary(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("code_digest", name=op.f("pk_enrolments")),
    )
    op.create_index("ix_enrolments_endpoint", "enrolments", ["endpoint"], unique=False)
    op.create_table(
        "identities",
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("identity_key", sa.LargeBinary(), nullable=False),
        sa.Column("enrolled_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", name=op.f("pk_identities")),
        sa.UniqueConstraint("identity_key", name=op.f("uq_identities_identity_key")),
    )
    op.create_table(
        "login_attempts",
        sa.Column("id", SEQUENCE, nullable=False),
        sa.Column("name_digest", sa.LargeBinary(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("is_made_up", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_login_attempts")),
    )
    op.create_index("ix_login_attempts_at_ms", "login_attempts", ["at_ms"], unique=False)
    op.create_index(
        "ix_login_attempts_name_digest", "login_attempts", ["name_digest", "at_ms"], unique=False
    )
    op.create_table(
        "organisations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("is_operator", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organisations")),
        sa.UniqueConstraint("name", name=op.f("uq_organisations_name")),
    )
    op.create_table(
        "audit",
        sa.Column("seq", SEQUENCE, autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("organisation", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("session", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=True),
        sa.Column("endpoint_seq", sa.BigInteger(), nullable=True),
        sa.Column("endpoint_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("endpoint_gap", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation"], ["organisations.id"], name=op.f("fk_audit_organisation")
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit")),
        sa.UniqueConstraint("endpoint", "endpoint_seq", name=op.f("uq_audit_endpoint")),
    )
    op.create_index("ix_audit_organisation", "audit", ["organisation", "seq"], unique=False)
    op.create_index("ix_audit_session", "audit", ["session", "seq"], unique=False)
    op.create_table(
        "audit_forwards",
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("target", name=op.f("pk_audit_forwards")),
    )
    op.create_table(
        "audit_heads",
        sa.Column("seq", SEQUENCE, autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("log_key", sa.LargeBinary(), nullable=False),
        sa.Column("chain_hash", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["seq"], ["audit.seq"], name=op.f("fk_audit_heads_seq")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_heads")),
    )
    op.create_table(
        "gateways",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation"], ["organisations.id"], name=op.f("fk_gateways_organisation")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateways")),
        sa.UniqueConstraint("organisation", "name", name=op.f("uq_gateways_organisation")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("must_change_password", sa.Boolean(), nullable=False),
        sa.Column("failed_logins", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("disabled_ms", sa.BigInteger(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation"], ["organisations.id"], name=op.f("fk_users_organisation")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("name_key", name=op.f("uq_users_name_key")),
    )
    op.create_index("ix_users_organisation", "users", ["organisation"], unique=False)
    op.create_table(
        "api_tokens",
        sa.Column("token_digest", sa.LargeBinary(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("idle_until_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name=op.f("fk_api_tokens_user")),
        sa.PrimaryKeyConstraint("token_digest", name=op.f("pk_api_tokens")),
    )
    op.create_index("ix_api_tokens_user", "api_tokens", ["user"], unique=False)
    op.create_table(
        "known_devices",
        sa.Column("token_digest", sa.LargeBinary(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name=op.f("fk_known_devices_user")),
        sa.PrimaryKeyConstraint("token_digest", name=op.f("pk_known_devices")),
    )
    op.create_index("ix_known_devices_user", "known_devices", ["user"], unique=False)
    op.create_table(
        "totp_secrets",
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("confirmed_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name=op.f("fk_totp_secrets_user")),
        sa.PrimaryKeyConstraint("user", name=op.f("pk_totp_secrets")),
    )
    op.create_table(
        "passkeys",
        sa.Column("credential_id", sa.LargeBinary(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name=op.f("fk_passkeys_user")),
        sa.PrimaryKeyConstraint("credential_id", name=op.f("pk_passkeys")),
    )
    op.create_index("ix_passkeys_user", "passkeys", ["user"], unique=False)
    op.create_table(
        "spent_challenges",
        sa.Column("challenge_digest", sa.LargeBinary(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("challenge_digest", name=op.f("pk_spent_challenges")),
    )
    op.create_index(
        "ix_spent_challenges_expires_ms", "spent_challenges", ["expires_ms"], unique=False
    )
    op.create_table(
        "oidc_subjects",
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name=op.f("fk_oidc_subjects_user")),
        sa.PrimaryKeyConstraint("issuer", "subject", name=op.f("pk_oidc_subjects")),
    )
    op.create_index("ix_oidc_subjects_user", "oidc_subjects", ["user"], unique=False)
    op.create_table(
        "recovery_codes",
        sa.Column("code_digest", sa.LargeBinary(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name=op.f("fk_recovery_codes_user")),
        sa.PrimaryKeyConstraint("code_digest", name=op.f("pk_recovery_codes")),
    )
    op.create_index("ix_recovery_codes_user", "recovery_codes", ["user"], unique=False)
    op.create_table(
        "personal_tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token_digest", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name=op.f("fk_personal_tokens_user")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_personal_tokens")),
        sa.UniqueConstraint("token_digest", name=op.f("uq_personal_tokens_token_digest")),
        sa.UniqueConstraint("user", "name", name=op.f("uq_personal_tokens_user")),
    )
    op.create_table(
        "clients",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation"], ["organisations.id"], name=op.f("fk_clients_organisation")
        ),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name=op.f("fk_clients_user")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clients")),
        sa.UniqueConstraint("user", "name", name=op.f("uq_clients_user")),
    )
    op.create_table(
        "devices",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("virtual", sa.Integer(), nullable=True),
        sa.Column("source_nat", sa.Boolean(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("removed_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["gateway"], ["gateways.id"], name=op.f("fk_devices_gateway")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_devices")),
    )
    op.create_index("ix_devices_gateway", "devices", ["gateway"], unique=False)
    op.create_index(
        "uq_devices_virtual",
        "devices",
        ["virtual"],
        unique=True,
        sqlite_where=sa.text("removed_ms IS NULL"),
        postgresql_where=sa.text("removed_ms IS NULL"),
    )
    op.create_table(
        "repeats",
        sa.Column("key_digest", sa.LargeBinary(), nullable=False),
        sa.Column("request_digest", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key_digest", name=op.f("pk_repeats")),
    )
    op.create_index("ix_repeats_created_ms", "repeats", ["created_ms"], unique=False)
    op.create_table(
        "gateway_policies",
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("release", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("max_sessions", sa.Integer(), nullable=False),
        sa.Column("max_duration_s", sa.Integer(), nullable=False),
        sa.Column("idle_timeout_s", sa.Integer(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("windows", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["gateway"], ["gateways.id"], name=op.f("fk_gateway_policies_gateway")
        ),
        sa.PrimaryKeyConstraint("gateway", name=op.f("pk_gateway_policies")),
    )
    op.create_table(
        "services",
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("protocol", sa.Text(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name=op.f("fk_services_device")),
        sa.PrimaryKeyConstraint("device", "position", name=op.f("pk_services")),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("duration_s", sa.Integer(), nullable=False),
        sa.Column("window_from_ms", sa.BigInteger(), nullable=True),
        sa.Column("window_until_ms", sa.BigInteger(), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=True),
        sa.Column("requested_ms", sa.BigInteger(), nullable=True),
        sa.Column("released_by", sa.Text(), nullable=True),
        sa.Column("released_ms", sa.BigInteger(), nullable=True),
        sa.Column("release_signature", sa.LargeBinary(), nullable=True),
        sa.Column("started_by", sa.Text(), nullable=True),
        sa.Column("started_ms", sa.BigInteger(), nullable=True),
        sa.Column("started_from", sa.Text(), nullable=False),
        sa.Column("redeem_by_ms", sa.BigInteger(), nullable=True),
        sa.Column("not_after_ms", sa.BigInteger(), nullable=True),
        sa.Column("client", sa.Text(), nullable=True),
        sa.Column("technician_key", sa.LargeBinary(), nullable=True),
        sa.Column("technician_signature", sa.LargeBinary(), nullable=True),
        sa.Column("link_pair", sa.Integer(), nullable=True),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("asked_plant", sa.Boolean(), nullable=False),
        sa.Column("answer_by_ms", sa.BigInteger(), nullable=True),
        sa.Column("lease_until_ms", sa.BigInteger(), nullable=True),
        sa.Column("answered", sa.Boolean(), nullable=False),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("end_reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state <> 'active' OR (client IS NOT NULL AND lease_until_ms IS NOT NULL"
            " AND not_after_ms IS NOT NULL"
            " AND link_pair IS NOT NULL)",
            name=op.f("ck_sessions_active_has_lease"),
        ),
        sa.CheckConstraint(
            "state IN ('prepared', 'requested', 'released', 'starting', 'active',"
            " 'ended', 'refused', 'expired')",
            name=op.f("ck_sessions_state"),
        ),
        sa.ForeignKeyConstraint(["client"], ["clients.id"], name=op.f("fk_sessions_client")),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name=op.f("fk_sessions_created_by")),
        sa.ForeignKeyConstraint(["gateway"], ["gateways.id"], name=op.f("fk_sessions_gateway")),
        sa.ForeignKeyConstraint(
            ["organisation"], ["organisations.id"], name=op.f("fk_sessions_organisation")
        ),
        sa.ForeignKeyConstraint(
            ["requested_by"], ["users.id"], name=op.f("fk_sessions_requested_by")
        ),
        sa.ForeignKeyConstraint(["started_by"], ["users.id"], name=op.f("fk_sessions_started_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
    )
    op.create_index("ix_sessions_gateway", "sessions", ["gateway", "state"], unique=False)
    op.create_index(
        "ix_sessions_organisation", "sessions", ["organisation", "created_ms", "id"], unique=False
    )
    op.create_index(
        "ix_sessions_started_by", "sessions", ["started_by", "created_ms"], unique=False
    )
    op.create_index("ix_sessions_state", "sessions", ["state"], unique=False)
    op.create_index(
        "uq_sessions_link_pair",
        "sessions",
        ["link_pair"],
        unique=True,
        sqlite_where=sa.text("state IN ('starting', 'active')"),
        postgresql_where=sa.text("state IN ('starting', 'active')"),
    )
    op.create_table(
        "session_targets",
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("protocol", sa.Text(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name=op.f("fk_session_targets_device")),
        sa.ForeignKeyConstraint(
            ["session"], ["sessions.id"], name=op.f("fk_session_targets_session")
        ),
        sa.PrimaryKeyConstraint("session", "position", name=op.f("pk_session_targets")),
    )
    op.create_index("ix_session_targets_device", "session_targets", ["device"], unique=False)
    op.create_table(
        "session_users",
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session"], ["sessions.id"], name=op.f("fk_session_users_session")
        ),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name=op.f("fk_session_users_user")),
        sa.PrimaryKeyConstraint("session", "user", name=op.f("pk_session_users")),
    )
    op.create_index("ix_session_users_user", "session_users", ["user"], unique=False)
    op.create_table(
        "tickets",
        sa.Column("ticket_digest", sa.LargeBinary(), nullable=False),
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["session"], ["sessions.id"], name=op.f("fk_tickets_session")),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name=op.f("fk_tickets_user")),
        sa.PrimaryKeyConstraint("ticket_digest", name=op.f("pk_tickets")),
    )
    op.create_index("ix_tickets_session", "tickets", ["session"], unique=False)


def _create_fleet_tables() -> None:
    op.create_table(
        "instances",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("family", sa.LargeBinary(), nullable=False),
        sa.Column("joined_ms", sa.BigInteger(), nullable=False),
        sa.Column("beat_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instances")),
    )
    op.create_table(
        "links",
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("instance", sa.Text(), nullable=True),
        sa.Column("claim", sa.BigInteger(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("gone_ms", sa.BigInteger(), nullable=True),
        sa.Column("software", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("shut", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["instance"], ["instances.id"], name=op.f("fk_links_instance")),
        sa.PrimaryKeyConstraint("endpoint", name=op.f("pk_links")),
        sa.UniqueConstraint("changed", name=op.f("uq_links_changed")),
    )
    op.create_index("ix_links_instance", "links", ["instance"], unique=False)
    op.create_table(
        "letters",
        sa.Column("id", SEQUENCE, nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("posted_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_letters")),
        sa.UniqueConstraint("message", name=op.f("uq_letters_message")),
    )
    op.create_index("ix_letters_endpoint", "letters", ["endpoint", "id"], unique=False)
