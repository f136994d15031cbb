// A catalogue as another program might keep it: other labels, other names, an attribute that is a node.
CREATE (food:Warengruppe {nr: 1, titel: 'Lebensmittel'}), (home:Warengruppe {nr: 2, titel: 'Haushalt'})
CREATE (coffee:Warengruppe {nr: 11, titel: 'Kaffee'})-[:TEIL_VON]->(food),
       (pasta:Warengruppe {nr: 12, titel: 'Nudeln'})-[:TEIL_VON]->(food),
       (sauce:Warengruppe {nr: 13, titel: 'Soßen'})-[:TEIL_VON]->(food),
       (clean:Warengruppe {nr: 21, titel: 'Putzmittel'})-[:TEIL_VON]->(home)
CREATE (alba:Hersteller {name: 'Alba'}), (casa:Hersteller {name: 'Casa Verde'}), (mill:Hersteller {name: 'Old Mill'})
CREATE (a1:Artikel {nummer: 1001, titel: 'Espressobohnen', groesse: '250 g', bio: true})-[:GEHOERT_ZU]->(coffee),
       (a2:Artikel {nummer: 1014, titel: 'Spaghetti', groesse: '250 g'})-[:GEHOERT_ZU]->(pasta),
       (a3:Artikel {nummer: 1016, titel: 'Penne', groesse: '250 g'})-[:GEHOERT_ZU]->(pasta),
       (a4:Artikel {nummer: 1021, titel: 'Pesto', groesse: '500 g'})-[:GEHOERT_ZU]->(sauce),
       (a5:Artikel {nummer: 1051, titel: 'Entkalker'})-[:GEHOERT_ZU]->(clean)
CREATE (a1)-[:VON]->(mill), (a2)-[:VON]->(casa), (a3)-[:VON]->(alba), (a4)-[:VON]->(casa)
CREATE (a2)-[:PASST_ZU {staerke: 5, seit: date('2024-01-08')}]->(a4),
       (a3)-[:PASST_ZU {staerke: 4, seit: date('2024-01-01')}]->(a4),
       (a1)-[:PASST_ZU {staerke: 2, seit: date('2024-01-15')}]->(a5)
