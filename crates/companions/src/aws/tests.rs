//! The callback against a stand-in for both services.

use super::*;
use crate::stand_in::{Received, StandIn};

const VOLUMES: &str = "<DescribeVolumesResponse><volumeSet>\
    <item><volumeId>vol-1</volumeId><attachmentSet><item><volumeId>vol-1</volumeId></item></attachmentSet></item>\
    <item><volumeId>vol-2</volumeId></item></volumeSet></DescribeVolumesResponse>";

fn answer(request: &Received) -> (u16, String) {
    let known = request.header("x-aws-ec2-metadata-token") == "token";
    let lifetime = request.header("x-aws-ec2-metadata-token-ttl-seconds");
    let signed = request.header("authorization").contains("Credential=");
    let text = match request.path.as_str() {
        "/latest/api/token" if !lifetime.is_empty() => "token",
        "/latest/dynamic/instance-identity/document" if known => {
            r#"{"instanceId": "i-7", "region": "eu-central-1"}"#
        }
        "/latest/meta-data/iam/security-credentials/" if known => "member",
        "/latest/meta-data/iam/security-credentials/member" if known => {
            r#"{"AccessKeyId": "K", "SecretAccessKey": "S", "Token": "T"}"#
        }
        "/" if signed => VOLUMES,
        _ => return (401, String::new()),
    };
    (200, text.to_owned())
}

#[tokio::test]
async fn instance_and_volumes_are_tagged() {
    let service = StandIn::start(answer).await;
    let options = Options {
        action: Action::OnRoleChange,
        role: "primary".to_owned(),
        name: "demo cluster".to_owned(),
    };
    let addresses = Addresses {
        metadata: service.address.clone(),
        ec2: Some(service.address.clone()),
    };
    tag(&options, &addresses).await;
    let forms: Vec<String> = service
        .received()
        .into_iter()
        .filter(|request| request.path == "/")
        .map(|request| request.body)
        .collect();
    assert_eq!(
        forms,
        [
            "Action=DescribeVolumes&Version=2016-11-15\
             &Filter.1.Name=attachment.instance-id&Filter.1.Value.1=i-7",
            "Action=CreateTags&Version=2016-11-15&ResourceId.1=vol-1&ResourceId.2=vol-2\
             &Tag.1.Key=Instance&Tag.1.Value=i-7&Tag.2.Key=Name&Tag.2.Value=spilo_demo%20cluster\
             &Tag.3.Key=Role&Tag.3.Value=primary",
            "Action=CreateTags&Version=2016-11-15&ResourceId.1=i-7\
             &Tag.1.Key=Role&Tag.1.Value=primary",
        ]
    );
}

#[tokio::test]
async fn a_machine_that_is_no_instance_is_left_alone() {
    let service = StandIn::start(|_| (404, String::new())).await;
    let options = Options {
        action: Action::OnStart,
        role: "replica".to_owned(),
        name: "demo".to_owned(),
    };
    let addresses = Addresses {
        metadata: service.address.clone(),
        ec2: Some(service.address.clone()),
    };
    tag(&options, &addresses).await;
    let paths: Vec<String> = service.received().into_iter().map(|r| r.path).collect();
    assert_eq!(paths, ["/latest/api/token"]);
}
