-- A stand-in for the extension Citus, for tests of the daemon. It is not Citus and has none of its
-- code: it has the tables and functions that the daemon calls by name, and nothing behind them.
-- What they keep of Citus' rules is what the daemon must obey: an address stands in one row only,
-- and a row is changed by its number.

CREATE SCHEMA citus;

CREATE TYPE pg_catalog.noderole AS ENUM ('primary', 'secondary', 'unavailable');

CREATE SEQUENCE citus.numbers AS integer;

-- Tables cannot be made in the catalog, but moved there, which Citus does, too.
CREATE TABLE citus.pg_dist_node (
    nodeid integer PRIMARY KEY DEFAULT nextval('citus.numbers'),
    groupid integer NOT NULL,
    nodename text NOT NULL,
    nodeport integer NOT NULL,
    noderole noderole NOT NULL,
    nodecluster name NOT NULL,
    UNIQUE (nodename, nodeport)
);
ALTER TABLE citus.pg_dist_node SET SCHEMA pg_catalog;

CREATE TABLE citus.pg_dist_authinfo (
    nodeid integer NOT NULL,
    rolename name NOT NULL,
    authinfo text NOT NULL,
    PRIMARY KEY (nodeid, rolename)
);
ALTER TABLE citus.pg_dist_authinfo SET SCHEMA pg_catalog;

-- What the daemon asked for, in order, and in which transaction.
CREATE TABLE citus.calls (
    number integer GENERATED ALWAYS AS IDENTITY,
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    call text NOT NULL
);

CREATE FUNCTION pg_catalog.citus_add_node(
    nodename text, nodeport integer, groupid integer, noderole noderole, nodecluster name
) RETURNS integer LANGUAGE sql AS $$
    INSERT INTO citus.calls (call) VALUES (format('add %s:%s', $1, $2));
    INSERT INTO pg_dist_node (groupid, nodename, nodeport, noderole, nodecluster)
        VALUES ($3, $1, $2, $4, $5) RETURNING nodeid;
$$;

CREATE FUNCTION pg_catalog.citus_set_coordinator_host(
    host text, port integer, node_role noderole, node_cluster name
) RETURNS void LANGUAGE sql AS $$
    INSERT INTO citus.calls (call) VALUES (format('coordinator %s:%s', $1, $2));
    INSERT INTO pg_dist_node (groupid, nodename, nodeport, noderole, nodecluster)
        VALUES (0, $1, $2, $3, $4);
$$;

CREATE FUNCTION pg_catalog.citus_update_node(
    node_id integer, new_node_name text, new_node_port integer, force bool, lock_cooldown integer
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO citus.calls (call)
        VALUES (format('update %s %s:%s', node_id, new_node_name, new_node_port));
    UPDATE pg_dist_node SET nodename = new_node_name, nodeport = new_node_port
        WHERE nodeid = node_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'node % not found', node_id;
    END IF;
END;
$$;

CREATE FUNCTION pg_catalog.citus_remove_node(host text, port integer)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO citus.calls (call) VALUES (format('remove %s:%s', host, port));
    DELETE FROM pg_dist_node WHERE nodename = host AND nodeport = port;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'node %:% not found', host, port;
    END IF;
END;
$$;
